#!/bin/sh
# SPDX-License-Identifier: MIT
# selftest.sh - every check can fail. Each is run over a small tree without fault, which it
# must pass, and over the same tree with one fault, which it must name.
. "$(dirname "$0")/common.sh"

tree=$scratch/tree
built=$scratch/built
cases=0

# Makes the tree without fault.
sound()
{
	rm -rf "$tree"
	mkdir -p "$tree/lib/base" "$tree/lib/fiber" "$tree/lib/engine" "$tree/include/knit" \
		"$tree/tests" "$tree/tools"
	for folder in . lib lib/base lib/fiber lib/engine include tests tools; do
		echo "A folder." > "$tree/$folder/README.md"
	done
	cp "$src/.clang-format" "$tree"
	echo 'AC_INIT([knit], [0.1.0])' > "$tree/configure.ac"
	cat > "$tree/include/knit/thing.h" << 'END'
/* SPDX-License-Identifier: MIT */
/* thing.h - things. */
#ifndef KNIT_THING_H
#define KNIT_THING_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KNIT_API __attribute__((visibility("default")))

/* How to make one. */
typedef struct knit_thing_options {
	size_t size; /* of this */
	/* the others */
	int others;
} knit_thing_options;

/* Kinds. */
enum {
	KNIT_SMALL = 1, /* small */
	KNIT_LARGE,     /* large */
};

/* Measures a thing.
 *
 * Units: bytes.  Returns: the size.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: none. */
KNIT_API size_t knit_thing_size(const void *thing);

/* As knit_thing_size(): in bits.
 *
 * Units: bits. */
static inline size_t knit_thing_bits(const void *thing)
{
	return 8 * knit_thing_size(thing);
}

/* The larger of two. */
#define knit_thing_max(a, b) ((a) > (b) ? (a) : (b))

#ifdef __cplusplus
}
#endif
#endif
END
	cat > "$tree/lib/fiber/thing.c" << 'END'
/* SPDX-License-Identifier: MIT */
#include "base/list.h"
#include <knit/thing.h>

size_t knit_thing_size(const void *thing)
{
	return thing ? 1 : 0;
}
END
	printf '/* SPDX-License-Identifier: MIT */\n' | tee "$tree/lib/base/list.h" \
		> "$tree/lib/engine/engine.h"
	cat > "$tree/Makefile.am" << 'END'
sources = lib/base/list.h lib/engine/engine.h lib/fiber/thing.c include/knit/thing.h
END
	cat > "$tree/lib/libknit.map" << 'END'
KNIT_0.1 {
global:
	knit_thing_size;
local:
	*;
};
END
	rm -rf "$built"
	mkdir -p "$built/.libs"
}

# Builds the library of the tree, with further flags.
build()
{
	rm -f "$built"/.libs/*
	${CC:-cc} -shared -fPIC -fvisibility=hidden -I"$tree/include" -I"$tree/lib" "$@" \
		-Wl,--version-script="$tree/lib/libknit.map" -o "$built/.libs/libknit.so" \
		"$tree/lib/fiber/thing.c" &&
		${CC:-cc} -c -fvisibility=hidden -I"$tree/include" -I"$tree/lib" \
			-o "$scratch/thing.o" "$tree/lib/fiber/thing.c" &&
		${AR:-ar} rc "$built/.libs/libknit.a" "$scratch/thing.o" ||
		fail "the library of the small tree cannot be built"
	: > "$built/config.h"
}

run()
{
	cases=$((cases + 1))
	top_srcdir=$tree top_builddir=$built sh "$meta/$1.sh" > "$scratch/said" 2>&1
}

# usage: passes CHECK
passes()
{
	run "$1" || {
		fail "$1.sh finds a fault where there is none"
		cat "$scratch/said"
	}
}

# usage: finds CHECK TEXT - the check must fail and say TEXT; the tree is made anew.
finds()
{
	if run "$1"; then
		fail "$1.sh overlooks a fault; expected: $2"
	elif ! grep -qF -- "$2" "$scratch/said"; then
		fail "$1.sh fails, but does not say: $2"
		cat "$scratch/said"
	fi
	sound
}

# usage: edit FILE SED-COMMAND
edit()
{
	sed "$2" "$tree/$1" > "$scratch/edited"
	cmp -s "$tree/$1" "$scratch/edited" && fail "the edit of $1 changes nothing: $2"
	cp "$scratch/edited" "$tree/$1"
}
header=include/knit/thing.h

sound
passes layers
edit lib/fiber/thing.c 's,base/list,engine/engine,'
finds layers "lib/fiber includes engine/engine.h, which is above it"
edit lib/fiber/thing.c 's,<knit/thing.h>,<liburing.h>,'
finds layers "only lib/engine may include liburing.h"
edit lib/fiber/thing.c 's,base/list.h,list.h,'
finds layers '"list.h" does not name a layer'
edit $header 's,<stddef.h>,"base/list.h",'
finds layers "a public header includes base/list.h"
edit $header 's,<stddef.h>,<liburing.h>,'
finds layers "a public header includes liburing.h"
mkdir "$tree/lib/strange"
printf '#include <stddef.h>\n' > "$tree/lib/strange/strange.c"
finds layers "lib/strange is not a layer"

build
passes symbols
edit lib/libknit.map 's,knit_thing_size,knit_thing_sighs,'
finds symbols "knit_thing_size is declared KNIT_API but not in lib/libknit.map"
edit lib/libknit.map 's,\tknit_thing_size;,&\n\tknit_other;,'
finds symbols "knit_other is in lib/libknit.map but not declared KNIT_API"
edit lib/libknit.map 's,\tknit_thing_size;,&\n&,'
finds symbols "knit_thing_size stands twice"
edit $header 's,^KNIT_API ,,'
build
finds symbols "knit_thing_size is in lib/libknit.map but not declared KNIT_API"
edit lib/libknit.map 's,knit_thing_size,knit_*,'
edit lib/fiber/thing.c '$a __attribute__((visibility("default"))) int knit_secret;'
build
printf 'KNIT_0.1 {\nglobal:\n\tknit_thing_size;\nlocal:\n\t*;\n};\n' > "$tree/lib/libknit.map"
finds symbols "knit_secret is exported by libknit.so but not declared KNIT_API"
edit lib/fiber/thing.c '$a int helper;'
build
finds symbols "libknit.a defines helper"

passes manual
for tag in Units Returns Errors Thread Suspends Ownership; do
	edit $header "s,$tag: [a-z ]*,,"
	finds manual "knit_thing_size() does not say $tag:"
	edit $header "/bytes/,/none\. \*/ s,$tag: [a-z ]*,$tag: ,"
	finds manual "knit_thing_size() does not say $tag:"
done
edit $header '/Measures/,/Ownership/d'
finds manual "knit_thing_size() has no comment"
edit $header 's,As knit_thing_size,As knit_thing_weight,'
finds manual "refers to knit_thing_weight(), which does not exist"
edit $header 's,As knit_thing_size,As knit_thing_bits,'
finds manual "knit_thing_bits() does not say Returns:"
edit $header 's,size; /\* of this \*/,size;,'
finds manual "the member size has no comment"
edit $header '/the others/d'
finds manual "the member others has no comment"
edit $header 's,KNIT_LARGE.*,KNIT_LARGE,'
finds manual "the member KNIT_LARGE has no comment"
edit $header '/larger of two/d'
finds manual "the macro knit_thing_max() has no comment"

passes headers
edit $header '/stddef/d'
finds headers "knit/thing.h does not compile"
edit $header 's,8 \* knit,8 * (int)knit,; s,const void \*thing);,const void *class_of);,'
passes headers
edit $header 's,const void \*thing),const void *class),'
finds headers "knit/thing.h does not compile with"
edit $header '/KNIT_THING_H/d; $d'
finds headers "knit/thing.h does not compile"

build
passes elf
build -Wl,-z,execstack
finds elf "asks for an executable stack"
case $(uname -m) in
x86_64)
	build -fcf-protection=full -Wl,-z,shstk
	finds elf "claims to support shadow stacks"
	;;
esac

run format
if [ $? -ne 77 ]; then
	passes format
	edit lib/fiber/thing.c 's,? 1 : 0,?1:0,'
	finds format "would change files"
fi

passes tree
rm "$tree/lib/fiber/README.md"
finds tree "lib/fiber has no README.md"
edit lib/fiber/thing.c 1d
finds tree "does not begin with the licence line"
edit lib/fiber/thing.c "\$a /* FIX""ME */"
finds tree "lib/fiber/thing.c:9:"
edit README.md "s/.*/This is not"" implemented./"
finds tree "README.md:1:"
awk 'BEGIN { for (i = 0; i < 651; i++) print "/* SPDX-License-Identifier: MIT */" }' \
	> "$tree/lib/base/list.h"
finds tree "has 651 lines"
awk 'BEGIN { print "int f(void)\n{"; for (i = 0; i < 79; i++) print "\t;"; print "}" }' \
	>> "$tree/lib/fiber/thing.c"
finds tree "a function of 81 lines"
edit Makefile.am 's,lib/base/list.h,,'
finds tree "lib/base/list.h is in no makefile fragment"
rm "$tree/lib/base/list.h"
finds tree "lib/base/list.h is in a makefile fragment but does not exist"
if command -v git > /dev/null && git init -q "$tree" 2> /dev/null; then
	passes tree
	git init -q "$tree"
	echo "A page." > "$tree/NOTES"
	git -C "$tree" add -f NOTES
	finds tree "NOTES does not belong"
fi

# readme.sh copies what a build needs, so the tree has to have it.
page()
{
	touch "$tree/LICENSE"
	build
	printf '%s\n' "$@" > "$tree/README.md"
}
program='int main(void) { puts("1"); return knit_thing_size("") != 1; }'
include='#include <stdio.h>'
thing='#include <knit/thing.h>'
page '```c' "/* hello.c - hello */" "$include" "$thing" "$program" '```' 'writes' '```text' 1 '```' \
	'```sh' '# checked' 'echo $((1 + 1))' 'test -x ./hello' '```' '```text' 2 '```' \
	'```sh' 'false' '```' '```text' 'never compared' '```'
passes readme
grep -q '2 blocks were tried' "$scratch/said" || fail "readme.sh did not try two blocks"
page '```c' "$include" "$thing" "$program" '```' 'writes' '```text' 2 '```'
finds readme "block 1 writes something else"
page '```c' "$include" "$thing" "$program" "nonsense" '```'
finds readme "block 1 (block-1.c) does not compile"
page '```c' "$include" "int main(void) { return 3; }" '```'
finds readme "block 1 (block-1.c) does not end with status 0"
page '```c' "no program" '```' '```sh' '# checked' 'false' 'true' '```'
finds readme "block 2, commands, does not end with status 0"
page '<!-- compiled only -->' '```c' "$include" "int main(void) { return 3; }" '```'
passes readme

sound
lessons()
{
	printf '| L1 | a lesson | `suite/%s` |\n' "$1" > "$tree/tests/LESSONS.md"
	printf 'Test(suite, holds_it)\n{\n}\n' > "$tree/tests/test_lesson.c"
}
lessons holds_it
passes lessons
lessons does_not
finds lessons "tests/LESSONS.md names suite/does_not, which does not exist"

sound
calls()
{
	printf 'int main(void)\n{\n\treturn (int)%s("");\n}\n' "$1" > "$tree/tests/calls.c"
}
calls knit_thing_size
passes used
calls knit_thing_bits
finds used "no test or example calls knit_thing_size()"

echo "$check: $cases runs"
finish

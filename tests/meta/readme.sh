#!/bin/sh
# SPDX-License-Identifier: MIT
# readme.sh - what README.md shows works.
#
# Every ```c block with a main() in it is compiled against the built library and run. Every
# ```sh block whose first line is `# checked` is run by `sh -eu` in a copy of the sources.
# Either must end with status 0, and a ```text block that follows it, with only prose in
# between, must be what it writes to stdout. A C block whose first line is
# `/* name.c ... */` is there under that name for the later blocks, and pkg-config finds knit.
# A line `<!-- compiled only -->` before a C block says that it is not to be run (a server).
. "$(dirname "$0")/common.sh"

[ -e README.md ] || skip "there is no README.md yet"
[ -e "$build/.libs/libknit.so" ] || skip "no library was built"
case "${INSTRUMENT_FLAGS-}" in
*-fsanitize*) skip "the programs would need the sanitizer too" ;;
esac

work=$scratch/work
mkdir "$work"
cp -R lib include tests tools configure.ac Makefile.am README.md LICENSE .clang-format "$work"
chmod -R u+w "$work"
cat > "$scratch/knit.pc" << END
Name: knit
Description: the library in the build folder
Version: 0
Libs: -L$build/.libs -lknit -Wl,-rpath,$build/.libs
Cflags: -I$src/include
END
export PKG_CONFIG_PATH="$scratch${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
unset MAKEFLAGS MFLAGS

# Blocks become files N.c, N.sh and N.text (N counts blocks), and a list of what to do.
awk -v to="$scratch" '
function file() { return to "/" number "." kind }
open && /^```[ \t]*$/ {
	close(file())
	if (kind == "text" && last) {
		print "expect", last, number
		last = 0
	} else if (kind == "c" && has_main) {
		print (compiled_only ? "compile" : "run"), number, first
		last = number
	} else if (kind == "sh" && first == "# checked") {
		print "shell", number
		last = number
	} else {
		last = 0
	}
	open = compiled_only = 0
	next
}
open {
	if (first == "")
		first = $0
	if ($0 ~ /(^|[^a-z_])main\(/)
		has_main = 1
	print > file()
	next
}
/^<!-- compiled only -->/ { compiled_only = 1 }
/^```/ {
	open = 1
	number++
	kind = substr($0, 4)
	sub(/[^a-z].*$/, "", kind)
	if (kind == "")
		kind = "none"
	first = ""
	has_main = 0
}' README.md > "$scratch/list"

limit="timeout -k 5 300"
while read -r what number rest; do
	: > "$scratch/said"
	case $what in
	compile | run)
		name=$(printf '%s\n' "$rest" | sed -n 's,^/\* \([a-z][a-z0-9_-]*\)\.c\>.*,\1,p')
		name=${name:-block-$number}
		cp "$scratch/$number.c" "$work/$name.c"
		if ! (cd "$work" && ${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -o "$name" \
			"$name.c" $(pkg-config --cflags --libs knit)) > "$scratch/said" 2>&1; then
			fail "block $number ($name.c) does not compile"
			head -n 12 "$scratch/said"
		elif [ $what = run ] && ! (cd "$work" && $limit "./$name") \
			> "$scratch/$number.out" 2> "$scratch/said" < /dev/null; then
			fail "block $number ($name.c) does not end with status 0"
			head -n 12 "$scratch/said"
		fi
		;;
	shell)
		if ! (cd "$work" && $limit sh -eu "$scratch/$number.sh") \
			> "$scratch/$number.out" 2> "$scratch/said" < /dev/null; then
			fail "block $number, commands, does not end with status 0"
			tail -n 12 "$scratch/said"
		fi
		;;
	expect)
		if [ ! -e "$scratch/$number.out" ]; then
			continue
		fi
		diff "$scratch/$rest.text" "$scratch/$number.out" > "$scratch/said" || {
			fail "block $number writes something else than README.md shows"
			head -n 12 "$scratch/said"
		}
		;;
	esac
done < "$scratch/list"
echo "$check: $(grep -c -E '^(run|compile|shell)' "$scratch/list") blocks were tried"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# install.sh - what `make install` installs is what a program needs: a C and a C++ program
# find it through pkg-config, link with the shared and with the static library, and run.
. "$(dirname "$0")/common.sh"

[ -e "$build/.libs/libknit.so" ] || skip "no library was built"
case "${INSTRUMENT_FLAGS-}" in
*-fsanitize*) skip "a program would need the sanitizer too" ;;
esac
command -v pkg-config > /dev/null || skip "there is no pkg-config"

stage=$scratch/stage
(cd "$build" && env -u MAKEFLAGS -u MFLAGS "${MAKE:-make}" install DESTDIR="$stage") \
	> "$scratch/said" 2>&1 || {
	fail "make install DESTDIR=... fails"
	tail -n 12 "$scratch/said"
	finish
}

prefix=$(sed -n 's/^prefix=//p' "$build/lib/knit.pc")
found=$(find "$stage" -name knit.pc)
[ -n "$found" ] || { fail "knit.pc is not installed"; finish; }
config()
{
	PKG_CONFIG_PATH=$(dirname "$found") pkg-config --define-variable=prefix="$stage$prefix" \
		"$@" knit
}
[ "$(config --modversion)" = "$(sed -n 's/^AC_INIT(\[knit\], \[\(.*\)\])/\1/p' configure.ac)" ] ||
	fail "knit.pc tells another version than configure.ac"

included=$(config --variable=includedir)
(cd include && find . -name '*.h' | sort) > "$scratch/ours"
(cd "$included" && find . \( -path './knit/*' -o -name knit.h \) -name '*.h' | sort) \
	> "$scratch/installed"
diff "$scratch/ours" "$scratch/installed" > "$scratch/said" || {
	fail "the installed headers are not those of include/"
	cat "$scratch/said"
}

{
	sed 's,^\./\(.*\),#include <\1>,' "$scratch/installed"
	cat <<- 'END'
		#include <string.h>
		int main(void)
		{
			return strcmp(knit_errname(KNIT_ECANCELLED), "KNIT_ECANCELLED") != 0;
		}
	END
} > "$scratch/program.c"
cp "$scratch/program.c" "$scratch/program.cc"

# usage: try NAME COMMAND...
try()
{
	name=$1
	shift
	if ! "$@" -o "$scratch/program" > "$scratch/said" 2>&1; then
		fail "$name does not compile and link"
		head -n 12 "$scratch/said"
	elif ! LD_LIBRARY_PATH=$(config --variable=libdir) "$scratch/program"; then
		fail "$name does not run as it should"
	fi
}
libdir=$(config --variable=libdir)
cflags=$(config --cflags) libs=$(config --libs)
static_libs=$(config --static --libs | sed "s,-lknit,$libdir/libknit.a,")
try "a C program" ${CC:-cc} "$scratch/program.c" $cflags $libs
try "a C program with the static library" ${CC:-cc} "$scratch/program.c" $cflags $static_libs
for cxx in g++ clang++; do
	command -v $cxx > /dev/null || continue
	try "a C++ program ($cxx)" $cxx -std=c++17 "$scratch/program.cc" $cflags $libs
done
finish

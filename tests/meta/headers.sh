#!/bin/sh
# SPDX-License-Identifier: MIT
# headers.sh - every public header compiles alone, twice over, as C11 and as C++17 and later,
# strictly and without a warning.
. "$(dirname "$0")/common.sh"

strict="-fsyntax-only -pedantic -Wall -Wextra -Werror -I$src/include"
compilers=0

# usage: try HEADER COMPILER FLAG...
try()
{
	header=$1
	shift
	printf '#include <%s>\n#include <%s>\nint main(void);\nint main(void)\n{\n\treturn 0;\n}\n' \
		"$header" "$header" |
		"$@" $strict - > "$scratch/said" 2>&1 || {
			fail "$header does not compile with $*"
			head -n 12 "$scratch/said"
		}
}

for compiler in gcc clang g++ clang++; do
	command -v $compiler > /dev/null || continue
	compilers=$((compilers + 1))
	case $compiler in
	*++) standards="c++17 c++20 c++23" language=c++ ;;
	*) standards="c11 c17" language=c ;;
	esac
	for standard in $standards; do
		# One that this compiler does not know yet is left out, but for the oldest.
		case $standard in
		c11 | c++17) ;;
		*) $compiler -std=$standard -x $language -fsyntax-only /dev/null 2> /dev/null || continue ;;
		esac
		for header in $(cd include && find . -name '*.h' | sed 's,^\./,,' | sort); do
			try "$header" $compiler -std=$standard -x $language
		done
	done
done
[ $compilers -gt 0 ] || fail "there is neither gcc nor clang"
command -v g++ > /dev/null || command -v clang++ > /dev/null ||
	echo "$check: there is no C++ compiler, tried C only"
finish

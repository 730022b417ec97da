#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds exceptions.cpp against the library of this build, with the sanitizers that it was
# built with, and runs it. Skipped without a C++ compiler.
set -u
source=${top_srcdir:-.}/tests/unit/fiber/exceptions.cpp
build=${top_builddir:-.}
library=$build/.libs/libknit-core.a
compiler=${CC:-cc}

[ -e "$library" ] || { echo "no $library"; exit 99; }

case $compiler in
*clang*) cxx=${CXX:-$(echo "$compiler" | sed 's/clang/clang++/')} ;;
*gcc*) cxx=${CXX:-$(echo "$compiler" | sed 's/gcc/g++/')} ;;
*) cxx=${CXX:-c++} ;;
esac
directory=$(mktemp -d "${TMPDIR:-/tmp}/knit-cxx.XXXXXX") || exit 99
trap 'rm -rf "$directory"' EXIT

echo 'int main() { return 0; }' >"$directory/probe.cpp"
$cxx -o "$directory/probe" "$directory/probe.cpp" 2>/dev/null || {
	echo "no C++ compiler ($cxx)"
	exit 77
}

# A library does not say how it was compiled, but what it calls does.
symbols=$(${NM:-nm} -u "$library" 2>/dev/null)
flags=
case $symbols in
*__asan_*) flags=-fsanitize=address,undefined ;;
*__tsan_*) flags=-fsanitize=thread ;;
esac
case $symbols in *__gcov_*) flags="$flags --coverage" ;; esac
# As the library's own files that switch inline: see lib/fiber/context.h.
case $($cxx -dumpmachine) in x86_64*) flags="$flags -mno-red-zone" ;; esac

$cxx -std=c++17 -g -O1 -Wall -Wextra $flags -include "$build/config.h" \
	-I"${top_srcdir:-.}/lib" -I"${top_srcdir:-.}/include" -I"$build/include" \
	-o "$directory/exceptions" "$source" "$library" -pthread || exit 1

run=${top_srcdir:-.}/tests/support/run
"$run" "$directory/exceptions" || exit 1

# An exception that nobody in the fiber catches ends the process by std::terminate().
said=$("$run" "$directory/exceptions" leave)
status=$?
[ $status -eq 3 ] && [ "$said" = terminated ] || {
	echo "an exception left a fiber: status $status, said \"$said\""
	exit 1
}

#!/bin/sh
# SPDX-License-Identifier: MIT
# format.sh - all C files are as clang-format leaves them.
#
# Its versions differ in details; 14 (Debian 12's) is the one that decides.
. "$(dirname "$0")/common.sh"

decides=14
tool=
for candidate in clang-format-$decides clang-format; do
	if command -v $candidate > /dev/null &&
		$candidate --version | grep -q "version $decides\."; then
		tool=$candidate
		break
	fi
done
[ -n "$tool" ] || skip "there is no clang-format $decides"

sources lib include tests tools -- '*.c' '*.h' |
	xargs $tool --style=file --dry-run -Werror > "$scratch/said" 2>&1 || {
	fail "clang-format -i would change files"
	grep 'error:' "$scratch/said" | cut -d : -f 1 | sort | uniq -c
}
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# used.sh - every public function is called by a test or an example. What ends in _with is called
# by the macro of the same name without it.
. "$(dirname "$0")/common.sh"

sources include -- '*.h' | xargs awk -f "$meta/declarations.awk" |
	awk -F '\t' '$1 == "function" && $4 == "api" { print $3 }' | sort -u > "$scratch/declared"
sources tests -- '*.c' '*.cpp' '*.h' | xargs grep -hoE '\<knit_[a-z0-9_]+' /dev/null |
	sort -u > "$scratch/used"
while read -r name; do
	grep -qx -e "$name" -e "${name%_with}" "$scratch/used" ||
		fail "no test or example calls $name()"
done < "$scratch/declared"
[ -s "$scratch/declared" ] || fail "found no declarations in include/"
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# lessons.sh - the tests that tests/LESSONS.md names exist.
. "$(dirname "$0")/common.sh"

[ -e tests/LESSONS.md ] || skip "there is no tests/LESSONS.md"
find tests -name '*.c' -o -name '*.cpp' | xargs cat | sed -n 's,^Test(\([a-z0-9_]*\)\, *\([A-Za-z0-9_]*\).*,\1/\2,p' \
	| sort -u > "$scratch/tests"
sed -n '/^|/p; /^L/p; /^and/p' tests/LESSONS.md | grep -o '`[a-z0-9_]*/[A-Za-z0-9_]*`' | tr -d '`' \
	| sort -u > "$scratch/named"
while read -r name; do
	grep -qxF "$name" "$scratch/tests" || fail "tests/LESSONS.md names $name, which does not exist"
done < "$scratch/named"
[ -s "$scratch/named" ] || fail "tests/LESSONS.md names no tests"
finish

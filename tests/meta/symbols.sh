#!/bin/sh
# SPDX-License-Identifier: MIT
# symbols.sh - the names declared KNIT_API, those in lib/libknit.map and those that the
# built library exports are the same; the static library adds only names with our prefixes.
. "$(dirname "$0")/common.sh"

sources include -- '*.h' | xargs awk -f "$meta/declarations.awk" |
	awk -F '\t' '$1 == "function" && $4 == "api" { print $3 }' | sort -u > "$scratch/headers"
sed -n '/global:/,/local:/p' lib/libknit.map | tr -d '\t ' | sed -n 's/;$//p' > "$scratch/in-map"
sort "$scratch/in-map" | uniq -d | while read -r name; do fail "$name stands twice in the map"; done
sort -u "$scratch/in-map" > "$scratch/map"

# usage: same A "what A is" B "what B is"
same()
{
	comm -23 "$1" "$3" | while read -r name; do fail "$name is $2 but not $4"; done
	comm -13 "$1" "$3" | while read -r name; do fail "$name is $4 but not $2"; done
}
[ -s "$scratch/headers" ] || fail "found no declarations in include/"
same "$scratch/headers" "declared KNIT_API" "$scratch/map" "in lib/libknit.map"

nm=${NM:-nm}
shared=$build/.libs/libknit.so
if [ -e "$shared" ]; then
	# Of type A is the version node itself.
	$nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		sort -u > "$scratch/exported"
	same "$scratch/headers" "declared KNIT_API" "$scratch/exported" "exported by libknit.so"
else
	echo "$check: no shared library was built, compared the headers and the map only"
fi
static=$build/.libs/libknit.a
if [ -e "$static" ]; then
	$nm -g --defined-only "$static" 2> /dev/null | awk 'NF == 3 { print $3 }' |
		grep -vE '^(knit|kn)_' | while read -r name; do fail "libknit.a defines $name"; done
fi
finish

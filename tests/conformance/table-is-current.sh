#!/bin/sh
# SPDX-License-Identifier: MIT
# table-is-current.sh - README.md is what table.sh prints, and each rule is accounted for.
. "$(dirname "$0")/../meta/common.sh"
here=tests/conformance

sh $here/table.sh > "$scratch/table" 2> "$scratch/said" || {
	fail "the table is not complete"
	cat "$scratch/said"
}
cmp -s "$scratch/table" $here/README.md ||
	fail "$here/README.md is not what table.sh prints: run sh $here/table.sh > $here/README.md"

# The check itself: each way to be wrong is noticed. Whatever edits the copy is on stdin.
# usage: notices FAULT FILE TEXT-THAT-IS-SAID
notices()
{
	rm -rf "$scratch/copy"
	mkdir "$scratch/copy"
	cp $here/not-here.txt $here/test_*.c "$scratch/copy"
	sed -f /dev/stdin "$scratch/copy/$2" > "$scratch/edited"
	mv "$scratch/edited" "$scratch/copy/$2"
	if sh $here/table.sh "$scratch/copy" > /dev/null 2> "$scratch/said"; then
		fail "table.sh does not notice $1"
	elif ! grep -qF "$3" "$scratch/said"; then
		fail "table.sh says something else about $1: $(head -n 1 "$scratch/said")"
	fi
}

echo 's/^Test(rules, r055_/Test(other, r055_/' |
	notices "a rule without a test" test_task_rules.c "rule 55 has no test"
echo '$a 55 twice' |
	notices "a rule in both places" not-here.txt "rule 55 has a test and stands"
printf '$a 9 one\n$a 9 two\n' |
	notices "a line that stands twice" not-here.txt "9 stands twice"
echo '$a 276 beyond' |
	notices "a rule that there is not" not-here.txt "there is no rule 276"
echo 's/^Test(rules, r055_/Test(rules, r355_/' |
	notices "a wrong number" test_task_rules.c "is not named after a rule"
finish

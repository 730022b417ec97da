#!/bin/sh
# SPDX-License-Identifier: MIT
# table.sh - prints README.md: which test shows which rule of asyncio's, and what has none yet.
#
#     sh tests/conformance/table.sh > tests/conformance/README.md
#
# What it reads: the names of the tests, Test(rules, rNNN_claim) and Test(scenarios, sNN_name);
# a comment that begins with "Differs:" in the lines right above one; and not-here.txt, with a
# line "NNN reason" for each rule, and "SNN reason" for each scenario, that has no test. It
# fails, and says why, unless each of the rules 1 to 275 has either tests or such a line.
# table-is-current.sh compares what it prints with README.md. An argument names another folder.
set -u
LC_ALL=C
export LC_ALL
cd "${1:-$(dirname "$0")}" || exit 2

cat << 'END'
# tests/conformance

asyncio's behaviour, rule by rule, and traces that CPython has left, event by event. The rules
have numbers, and a test is named after its rule: `Test(rules, r055_create_task_is_lazy_and_ordered)`.
A scenario logs events into one string, joined by ` | `, and compares it with the recorded one;
`common.h` says how Python's exceptions are spelt there. `test_ownership.c` and its kin go
beyond the rules, to what a garbage collector spares Python: who owns what, on each path.

    make check TESTS=tests/conformance/test-conformance
    tests/conformance/test-conformance --filter 'rules/r055*'

To add a test for a rule: take its line out of `not-here.txt`, write the test into the file of
its subject, run `sh tests/conformance/table.sh > tests/conformance/README.md`. Time is the
virtual clock, but where a rule is about threads, signals or the kernel. Where knit departs from
asyncio on purpose, the test shows what knit does, and a comment right above it begins with
`Differs:` and says what is different; it comes to stand in the last column here.

END

awk '
function problem(text)
{
	print "table.sh: " text > "/dev/stderr"
	failed = 1
}

# The words of a test name, which begin behind its number.
function claim(name)
{
	sub(/^[a-z][0-9]+_/, "", name)
	gsub(/_/, " ", name)
	return name
}

function add(key, row)
{
	rows[key] = rows[key] row "\n"
	tested[key] = 1
}

FNR == 1 { note = ""; open = 0 }

FILENAME == "not-here.txt" {
	if ($0 ~ /^#/ || NF == 0)
		next
	key = $1
	if (key !~ /^S?[0-9]+$/ || NF < 2)
		problem("not-here.txt:" FNR ": not \"NNN reason\" or \"SNN reason\"")
	if (key ~ /^[0-9]+$/)
		key += 0
	if (key in reason)
		problem(key " stands twice in not-here.txt")
	reason[key] = $0
	sub(/^[^ ]+ +/, "", reason[key])
	if (key ~ /^S/)
		scenarios[substr(key, 2) + 0] = key
	next
}

/^\/\* Differs: / { open = 1; note = "" }
open {
	line = $0
	sub(/^\/\* Differs: /, "", line)
	sub(/^ \* /, "", line)
	open = line !~ /\*\/$/
	sub(/ *\*\/$/, "", line)
	note = note (note == "" ? "" : " ") line
	next
}

/^Test\((rules|scenarios), [rs][0-9]+_/ {
	name = $0
	sub(/^Test\([a-z]+, /, "", name)
	sub(/[,)].*$/, "", name)
	number = name
	sub(/_.*$/, "", number)
	number = substr(number, 2) + 0
	state = note == "" ? "as in asyncio" : "differs: " note
	if (/^Test\(rules/) {
		if (name !~ /^r[0-9][0-9][0-9]_/ || number < 1 || number > 275)
			problem(FILENAME ": " name " is not named after a rule")
		add(number, "| " number " | " claim(name) " | `" FILENAME "` | " state " |")
	} else {
		key = sprintf("S%02d", number)
		scenarios[number] = key
		add(key, "| " key " | " claim(name) " | `" FILENAME "` | " state " |")
	}
}
{ note = "" }

END {
	for (i = 1; i <= 275; i++) {
		if ((i in tested) && (i in reason))
			problem("rule " i " has a test and stands in not-here.txt")
		if (!(i in tested) && !(i in reason))
			problem("rule " i " has no test and does not stand in not-here.txt")
		if (i in tested)
			with_test++
	}
	for (key in reason)
		if (key !~ /^S/ && (key + 0 < 1 || key + 0 > 275))
			problem("there is no rule " key)
	printf "## Rules\n\n%d of 275 have a test.\n\n", with_test
	print "| rule | claim | test | state |\n|---|---|---|---|"
	for (i = 1; i <= 275; i++)
		printf "%s", (i in tested) ? rows[i] : "| " i " | | | " reason[i] " |\n"
	print "\n## Scenarios\n\n| scenario | name | test | state |\n|---|---|---|---|"
	for (i = 1; i <= 99; i++) {
		if (!(i in scenarios))
			continue
		key = scenarios[i]
		if ((key in tested) && (key in reason))
			problem("scenario " key " has a test and stands in not-here.txt")
		printf "%s", (key in tested) ? rows[key] : "| " key " | | | " reason[key] " |\n"
	}
	exit failed
}' not-here.txt test_*.c

#!/bin/sh
# SPDX-License-Identifier: MIT
# runner.sh - the runner notices each way to fail: the tests in failing.c, one by one.
. "$(dirname "$0")/common.sh"

program=$build/tests/meta/failing
[ -x "$program" ] || skip "tests/meta/failing was not built"
run()
{
	# Both limits: the own runner's for a test, and that of the run.
	TEST_TIMEOUT=2 TEST_LIMIT=${limit:-60} sh "$src/tests/support/run" "$program" \
		--filter "$1" > "$scratch/said" 2>&1
}

if ! run sound/passes; then
	fail "sound/passes does not pass"
	cat "$scratch/said"
fi
tests=$(sed -n 's/^Test(failing, \([a-z_]*\).*/failing\/\1/p' "$src/tests/meta/failing.c")
[ -n "$tests" ] || fail "found no tests in failing.c"
for test in $tests; do
	limit=60
	# Criterion has no limit for a test of its own, that of the run must do.
	[ "$test" != failing/hang ] || limit=5
	if run "$test"; then
		fail "$test was taken for passed"
		cat "$scratch/said"
	elif grep -q 'no test matches' "$scratch/said"; then
		fail "$test was not run"
	fi
done
finish

#!/bin/sh
# SPDX-License-Identifier: MIT
# elf.sh - what the built library promises the loader.
#
# It does not claim to support shadow stacks (SHSTK), which our switch of stacks would
# break; and no object in it asks for an executable stack.
. "$(dirname "$0")/common.sh"

library=$build/.libs/libknit.so
[ -e "$library" ] || skip "no shared library was built"
readelf=${READELF:-readelf}
if ! grep -q '^#define KN_FIBER_UCONTEXT 1' "$build/config.h" 2> /dev/null; then
	if $readelf -n "$library" 2> /dev/null | grep -q SHSTK; then
		fail "libknit.so claims to support shadow stacks"
	fi
fi
$readelf -lW "$library" > "$scratch/segments"
grep -q GNU_STACK "$scratch/segments" || fail "libknit.so has no GNU_STACK segment"
if grep GNU_STACK "$scratch/segments" | grep -q 'RWE'; then
	fail "libknit.so asks for an executable stack"
fi
if $readelf -dW "$library" | grep -q TEXTREL; then
	fail "libknit.so has text relocations"
fi
finish

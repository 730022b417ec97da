/* SPDX-License-Identifier: MIT */
/* test.h - what every test includes.
 *
 * Two runners understand the same tests. Criterion is the usual one. The small forking
 * runner in support/runner.c serves where Criterion cannot be trusted or had: Debian's
 * Criterion reports success when a sanitizer or valgrind complains at the end of a child,
 * does not start reliably under ThreadSanitizer, and does not come cross-compiled.
 * configure chooses; TEST_RUNNER_OWN is defined for the second.
 *
 * Tests keep to the macros that both know:
 *
 *     Test(suite, name_that_states_the_claim, .init = f, .fini = f, .signal = SIGABRT,
 *          .exit_code = 1, .disabled = true) { ... }
 *     cr_assert(condition, ...)      the test ends at the first that fails
 *     cr_expect(condition, ...)      the test goes on and has failed
 *     each with _not, _eq, _neq, _lt, _leq, _gt, _geq, _null, _not_null, _str_eq,
 *     _str_neq, _float_eq; and, at the end, an optional printf format (a literal)
 *
 * and to what support/helpers.h adds. Assertions belong into the test itself, on its first
 * thread: Criterion overlooks those that fail in .fini, and a failing cr_assert() of another
 * thread does not end the test there. Every test runs in a process of its own. */
#ifndef TEST_H
#define TEST_H

#ifdef TEST_RUNNER_OWN
#include "support/runner.h"
#else
#include <criterion/criterion.h>
#endif
#include "support/helpers.h"

#endif

/* SPDX-License-Identifier: MIT */
/*
 * debug.h - debug mode: what costs too much to look for always.
 *
 * It is on for a loop by .debug = 1, by KNIT_DEBUG=1 in the environment, or by
 * knit_loop_set_debug(). What it finds goes to the loop's exception handler:
 *
 * - a callback, or a step of a task, that kept the loop for long:
 *   "Executing <task 'NAME'> took 0.123 seconds";
 * - where the task, future or callback of a report was created (.created);
 * - a task that was told to end, and suspends again without knit_task_uncancel(), once for each
 *   cancellation that it got;
 * - the first knit_sleep() below a microsecond: delays are in nanoseconds.
 *
 * Calls from a foreign thread are found always.
 */
#ifndef KNIT_DEBUG_H
#define KNIT_DEBUG_H

#include <knit/loop.h>

KNIT_BEGIN_DECLS

/* Switches debug mode on or off. What was created before has no .created.
 *
 * Units: none.  Returns: 0.  Errors: -KNIT_EWRONGTHREAD; -KNIT_ENOLOOP: NULL, and none runs.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_loop_set_debug(knit_loop *loop, bool debug);

/* Is debug mode on (NULL: of the running loop)?
 *
 * Units: none.  Returns: the answer.
 * Errors: none; false if there is no loop; ends the process on a foreign thread.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_loop_get_debug(const knit_loop *loop);

/* Sets from which duration on a callback or step is reported: 100 ms by default. It is real time,
 * also where the loop's clock is a virtual one. The first step of a task that starts eagerly is
 * a part of what created it.
 *
 * Units: @duration in ns.  Returns: 0.
 * Errors: -EINVAL: negative; -KNIT_EWRONGTHREAD; -KNIT_ENOLOOP: NULL, and none runs.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int knit_loop_set_slow_callback_duration(knit_loop *loop, int64_t duration);

/* From which duration on a callback or step is reported.
 *
 * Units: ns.  Returns: the duration.
 * Errors: -KNIT_EWRONGTHREAD; -KNIT_ENOLOOP: NULL, and none runs.
 * Thread: loop.  Suspends: no.  Ownership: none. */
KNIT_API int64_t knit_loop_get_slow_callback_duration(const knit_loop *loop);

KNIT_END_DECLS
#endif

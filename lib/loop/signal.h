/* SPDX-License-Identifier: MIT */
/* signal.h - for registry.c, which forks and signals share a lock order with; and how an
 * interrupt is told from a signal that has a handler. */
#ifndef KN_LOOP_SIGNAL_H
#define KN_LOOP_SIGNAL_H
#include <signal.h>
#include <stdint.h>

/* In loop->signals_pending: the bit of a signal that can have no handler. */
#define KN_INTERRUPT (UINT64_C(1) << (SIGKILL - 1))

void kn_signals_before_fork(void);
void kn_signals_after_fork_in_parent(void);
/* Gives the child the signal actions that the process had before the library's. */
void kn_signals_after_fork_in_child(void);
#endif

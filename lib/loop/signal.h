/* SPDX-License-Identifier: MIT */
/* signal.h - what fork() asks of the signal handlers. */
#ifndef KN_LOOP_SIGNAL_H
#define KN_LOOP_SIGNAL_H

void kn_signals_before_fork(void);
void kn_signals_after_fork_in_parent(void);
/* Gives the child the signal actions that the process had before the library's. */
void kn_signals_after_fork_in_child(void);
#endif

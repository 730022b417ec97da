/* SPDX-License-Identifier: MIT */
/* blocking.h - what the end of a loop asks of blocking calls. */
#ifndef KN_TASK_BLOCKING_H
#define KN_TASK_BLOCKING_H

struct knit_loop;

/* Cancels the futures of all calls, whose answers nobody wants from here on. */
void kn_calls_close(struct knit_loop *loop);
#endif

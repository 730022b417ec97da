/* SPDX-License-Identifier: MIT */
/* knit.h - asyncio for C: everything. Each header below is the manual of its subject. */
#ifndef KNIT_H
#define KNIT_H
#include <knit/error.h>    /* outcomes, codes, messages; how to read the manual */
#include <knit/time.h>     /* nanoseconds */
#include <knit/loop.h>     /* the loop of a thread: running, callbacks, timers, signals */
#include <knit/runner.h>   /* several main coroutines on one loop */
#include <knit/task.h>     /* futures and tasks */
#include <knit/context.h>  /* context variables */
#include <knit/debug.h>    /* debug mode */
#include <knit/timeout.h>  /* deadlines; parts of a task that can be cancelled by themselves */
#include <knit/wait.h>     /* several at a time: gather, wait, wait_for, shield, as_completed */
#include <knit/sync.h>     /* locks, events, conditions, semaphores, barriers */
#include <knit/queue.h>    /* queues between tasks */
#include <knit/group.h>    /* task groups */
#include <knit/thread.h>   /* what other threads may do: posts, concurrent futures, knit_run_on() */
#include <knit/executor.h> /* functions that block, in threads of their own */
#include <knit/reader.h>   /* callbacks for descriptors that are ready */
#include <knit/socket.h>   /* sockets and listeners */
#include <knit/file.h>     /* open, read, write, poll, close */
#endif

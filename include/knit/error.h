/* SPDX-License-Identifier: MIT */
/*
 * error.h - outcomes, codes, and what is known of a failure beyond its code.
 *
 * A coroutine's outcome is one machine word, as a system call's is: a value or a
 * pointer, or, in [-KNIT_ERRNO_MAX, -1], a negative error code. Results that may
 * themselves be negative travel through the coroutine's argument.
 *
 * How to read the manual. The comment above a declaration says what it does, then:
 *
 *   Units       of what goes in and out, where a number has one
 *   Returns     what comes back when all is well
 *   Errors      each negative code and when; calls on an object of a loop may
 *               return -KNIT_EWRONGTHREAD besides, in every thread but the loop's
 *   Thread      "loop": the thread that the object's loop belongs to; "any": any
 *               thread; "any, signal": a signal handler too
 *   Suspends    "no", or when the call lets other tasks run; a call that suspends
 *               is one for tasks: elsewhere it returns -KNIT_ENOTASK
 *   Ownership   who owns what went in and what came out
 */
#ifndef KNIT_ERROR_H
#define KNIT_ERROR_H

#include <errno.h> /* codes are errno's, and those below */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <knit/macros.h>

KNIT_BEGIN_DECLS

/* The largest error code: -KNIT_ERRNO_MAX..-1 are errors, all else are values. */
#define KNIT_ERRNO_MAX 4095

/*
 * Codes beside errno's own. The numbers are fixed for good: 3584..3839 are knit's,
 * 3840..3967 getaddrinfo's, 3968..4095 are free for applications.
 */
enum {
	KNIT_ECANCELLED = 3584,     /* the task was cancelled (CancelledError) */
	KNIT_EINVALIDSTATE = 3585,  /* no result yet, or already one (InvalidStateError) */
	KNIT_ENOLOOP = 3586,        /* no loop runs in this thread (RuntimeError) */
	KNIT_ENOTASK = 3587,        /* a suspending call outside a task */
	KNIT_ERUNNING = 3588,       /* a loop runs in this thread, or this loop runs */
	KNIT_ECLOSED = 3589,        /* the loop is closed */
	KNIT_EWRONGTHREAD = 3590,   /* an object of a loop used from another thread or loop */
	KNIT_EINCOMPLETE = 3591,    /* end of stream inside a message (IncompleteReadError) */
	KNIT_EOVERRUN = 3592,       /* separator not found within the limit (LimitOverrunError) */
	KNIT_EQEMPTY = 3593,        /* the queue is empty (QueueEmpty) */
	KNIT_EQFULL = 3594,         /* the queue is full (QueueFull) */
	KNIT_EQSHUTDOWN = 3595,     /* the queue is shut down (QueueShutDown) */
	KNIT_EBROKENBARRIER = 3596, /* the barrier is broken (BrokenBarrierError) */
	KNIT_EGROUP = 3597,         /* tasks of a group failed (ExceptionGroup) */
	KNIT_ESTOPPED = 3598,       /* the loop was stopped before the task was done */
	KNIT_EAI_BASE = 3840,       /* KNIT_EAI_BASE + n is getaddrinfo's error -n */
	KNIT_EAPPLICATION = 3968,   /* the first code that is free for applications */
};

/* Is @outcome an error code?
 *
 * Units: none.  Returns: true for [-KNIT_ERRNO_MAX, -1].  Errors: none.
 * Thread: any, signal.  Suspends: no.  Ownership: none. */
static inline bool knit_is_error(intptr_t outcome)
{
	return outcome < 0 && outcome >= -KNIT_ERRNO_MAX;
}

/* The pointer that @outcome carries.
 *
 * Units: none.  Returns: the pointer, NULL for an error.  Errors: none.
 * Thread: any, signal.  Suspends: no.  Ownership: as the coroutine that returned it says. */
static inline void *knit_pointer(intptr_t outcome)
{
	return knit_is_error(outcome) ? NULL : (void *)outcome;
}

/* Is @outcome the cancellation of a task? The kernel's own ECANCELED never leaves an
 * I/O call, so this is the one code to look for.
 *
 * Units: none.  Returns: outcome == -KNIT_ECANCELLED.  Errors: none.
 * Thread: any, signal.  Suspends: no.  Ownership: none. */
KNIT_API bool knit_is_cancelled(intptr_t outcome);

/* A sentence about @code, which may have either sign: knit's codes, errno's and
 * getaddrinfo's.
 *
 * Units: none.  Returns: text, never NULL.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: static storage. */
KNIT_API const char *knit_strerror(int code);

/* The name of @code, which may have either sign: "ETIMEDOUT", "KNIT_ECANCELLED".
 *
 * Units: none.  Returns: the name, "unknown" for 0 and other numbers without one.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: static storage. */
KNIT_API const char *knit_errname(int code);

/* How a coroutine fails with more than a code:
 *
 *     return knit_raise(EINVAL, "port %d is out of range", port);
 *
 * Formats the message, then records it with @file and @line for the running task (for
 * the thread outside tasks). If there is no memory for the text, the code alone counts.
 *
 * Units: @code an errno or a KNIT_E code of either sign.  Returns: -code (a code of 0, or
 * beyond KNIT_ERRNO_MAX, counts as EINVAL).  Errors: none of its own.
 * Thread: any.  Suspends: no.  Ownership: @file is borrowed for good; the rest is copied. */
KNIT_API intptr_t knit_raise_at(const char *file, int line, int code, const char *format, ...)
        KNIT_PRINTF(4, 5);

/* knit_raise_at() with the place where it stands. */
#define knit_raise(...) knit_raise_at(__FILE__, __LINE__, __VA_ARGS__)

/* What went wrong: the text recorded for @outcome by knit_raise() in this task, or in a task
 * that this one awaited; knit_strerror()'s if there is none.
 *
 * Units: none.  Returns: text, never NULL.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: the task's, valid until its next failure. */
KNIT_API const char *knit_error_message(intptr_t outcome);

/* Where knit_raise() was called for @outcome.
 *
 * Units: none.  Returns: the line, and the file in *@ret_file; 0 and NULL if nothing is
 * recorded for it.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: *@ret_file is static storage; @ret_file may be NULL. */
KNIT_API int knit_error_place(intptr_t outcome, const char **ret_file);

/* Sets what is called, with one line of text, before the library ends the process because
 * going on would corrupt memory: a reference dropped twice, a task freed from a foreign
 * thread, a stack overrun. NULL restores the default, which writes the line to stderr.
 * abort() follows if the hook returns.
 *
 * Units: none.  Returns: nothing.  Errors: none.
 * Thread: any; process-wide.  Suspends: no.  Ownership: the line is borrowed for the call. */
KNIT_API void knit_set_abort_hook(void (*hook)(const char *line));

KNIT_END_DECLS
#endif

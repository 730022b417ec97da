/* SPDX-License-Identifier: MIT */
/* raw.h - the references: what the machine gives when nothing is in the way.
 *
 * Not peers but limits: a context switch in a few instructions, a queue of tasks without
 * a loop behind it, a heap, a ring of callbacks, two threads that share a word. What a
 * runtime costs beyond them is the price of what it offers. The switch is written for
 * x86-64; on other CPUs only the references of two threads are there. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H
#include <stddef.h>
#include "bench.h"

#if defined(__x86_64__) && defined(__LP64__)
#define RAW_HAS_SWITCH 1
#else
#define RAW_HAS_SWITCH 0
#endif

/* Address space for each task; one page of it is touched. */
#define RAW_STACK_BYTES ((size_t)16384)

/* Saves the caller's registers on its stack and its stack pointer in *@save, and goes on
 * where the context @to was saved. raw_switch() resumes by `ret`, raw_switch_jump() by an
 * indirect jump. */
void raw_switch(void **save, void *to);
void raw_switch_jump(void **save, void *to);

/* A mapping of @bytes, never given back; ends the child if there is none. */
void *raw_map(size_t bytes);

/* A context for either switch that enters @function, which must not return, on the stack
 * of @bytes that begins at @stack. */
void *raw_context(char *stack, size_t bytes, void (*function)(void));

int raw_bare_switch(const struct workload *workload, double *ret_value);
int raw_bare_switch_jump(const struct workload *workload, double *ret_value);
int raw_yield_two(const struct workload *workload, double *ret_value);
int raw_spawn_join(const struct workload *workload, double *ret_value);
#define RAW_TASK_BYTES 288 /* of a task of knit without its stack */
int raw_touch(const struct workload *workload, double *ret_value);
int raw_spawn_batch(const struct workload *workload, double *ret_value);
int raw_idle_tasks(const struct workload *workload, double *ret_value);
int raw_timer_callbacks(const struct workload *workload, double *ret_value);
int raw_sleeping_tasks(const struct workload *workload, double *ret_value);
int raw_call_soon(const struct workload *workload, double *ret_value);
int raw_pingpong(const struct workload *workload, double *ret_value);
int raw_pingpong_cpu(const struct workload *workload, double *ret_value);
int raw_posts(const struct workload *workload, double *ret_value);
int raw_queue(const struct workload *workload, double *ret_value);
int raw_timer_cancel(const struct workload *workload, double *ret_value);

/* For the curves; the argument is the number of tasks or timers, of receivers for the last. */
int raw_curve_spawn(const struct workload *workload, double *ret_value);
int raw_curve_cancel(const struct workload *workload, double *ret_value);
int raw_curve_timer(const struct workload *workload, double *ret_value);
int raw_curve_timer_cancel(const struct workload *workload, double *ret_value);
int raw_curve_post(const struct workload *workload, double *ret_value);

/* W11; the argument is one of the variants below, | RAW_FILE_DIRECT. */
int raw_file_read(const struct workload *workload, double *ret_value);
enum raw_file {
	RAW_FILE_PREAD,
	RAW_FILE_PREADV2,
	RAW_FILE_RING,
	RAW_FILE_RING_8,
	RAW_FILE_DIRECT = 16
};

/* The variants of raw_pingpong(), its argument. */
enum raw_wake { RAW_WAKE_EVENTFD, RAW_WAKE_MSG_RING, RAW_WAKE_SPIN };

#endif

/* SPDX-License-Identifier: MIT */
/* bench.h - what a workload of knit-bench is, and what workloads measure with.
 *
 * A workload has a name with an exact definition (tools/bench/README.md) and a unit. A
 * row of a table runs it once and gives one figure. main.c runs each row in a child process
 * of its own, so a row may leave its memory, tasks and threads behind, keep its state in
 * static variables, and starts with nothing warm. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* How often the loops go round, the same for knit and for the references; bench_divide() makes
 * them smaller. Rows copy what they need before they read the clock. */
struct bench_counts {
	long switches;    /* W1 */
	long spawns;      /* W2 */
	long batch;       /* W2b */
	long timers;      /* W4 */
	long timer_ms;    /* W4: deadlines of 1 .. this */
	long cancels;     /* W4b: rounds */
	long soons;       /* W5 */
	long posts;       /* W6b */
	long items;       /* W7 */
	long curve;       /* curves: tasks, timers or posts of a row, in all */
	uint64_t ping_ns; /* W6 runs for so long */
};
extern struct bench_counts bench_counts;

#define BENCH_CANCEL_TIMERS 1000 /* W4b: live timers */
#define BENCH_SEED          UINT64_C(88172645463325252)

#define BENCH_SKIPPED   1
#define BENCH_LOOPS_MAX 8   /* of the curve of posts */
#define BENCH_BURST     256 /* posts to one of them in a row */

struct workload {
	const char *name; /* NULL ends a table */
	const char *unit;
	/* 0 and the figure; BENCH_SKIPPED if this machine cannot run it; a negative errno. */
	int (*run)(const struct workload *workload, double *ret_value);
	const char *peer; /* who is measured; NULL: the table's own name, "knit" or "raw" */
	long argument;    /* for run: a count, a variant */
	bool spans_cpus;  /* run pins its threads; otherwise the process is pinned to CPU 0 */
	/* What bench_note_rate() counts, told beside the figure; NULL: nothing. */
	const char *rate_unit;
};

/* The rows of knit and the references, each in the order of their names. */
extern const struct workload knit_workloads[], raw_workloads[];
extern const struct workload knit_file_workloads[], raw_file_workloads[];
extern const struct workload knit_curve_workloads[], raw_curve_workloads[];

static inline uint64_t bench_clock_ns(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline uint64_t bench_now_ns(void)
{
	return bench_clock_ns(CLOCK_MONOTONIC);
}

/* CPU time of all threads of the process, user and system. Workloads of one thread are
 * timed with it too: such a thread does not block, and what others take of the core in
 * the meantime is left out. */
static inline uint64_t bench_cpu_ns(void)
{
	return bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* xorshift64: repeatable, and cheap beside what is measured. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

/* The CPUs that the program was allowed when it started; called once by main(). */
void bench_remember_cpus(void);
unsigned bench_cpus(void);

/* Pins the calling thread to the allowed CPU with this index, modulo their number. */
void bench_pin(unsigned index);

/* Resident bytes and bytes of page tables: both are memory that an idle task costs. */
long bench_mem_bytes(void);

/* What the system can still give without swapping. */
long bench_mem_available(void);

/* Divides all counts: for tests of the program, whose figures mean nothing. */
void bench_divide(long divisor);

/* What is left of a count of a row's own, at least 1. */
long bench_divided(long count);

/* Why a row cannot run here; returns BENCH_SKIPPED. The text is not copied. */
int bench_skip(const char *reason);
const char *bench_skip_reason(void); /* the last one */

/* A second figure of the row that runs. */
void bench_note_rate(double rate);
double bench_rate(void); /* 0 if there is none */

/* Says what failed, with errno, and ends the child. */
__attribute__((noreturn)) void bench_die(const char *what);

/* Prints the line `PEER WORKLOAD VALUE UNIT`. */
void bench_emit(const char *peer, const char *workload, double value, const char *unit);

#endif

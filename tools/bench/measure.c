/* SPDX-License-Identifier: MIT */
/* measure.c - a child process for every measurement.
 *
 * What a workload leaves behind (memory that the allocator keeps, page tables, a warm
 * heap, threads) would change the next figure, so each is taken in a process that begins
 * where this one was before anything was measured. The child sends status and figure
 * through a pipe and leaves without tidying up. A child that crashes or hangs costs its
 * row, not the run. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "measure.h"

#define LIMIT_MS (5 * 60 * 1000)

/* Beside the errnos that a row returns. */
#define STATUS_CRASHED -10001
#define STATUS_HUNG    -10002

struct message {
	int status;
	double value, rate;
	char reason[sizeof(((struct figure *)NULL)->reason)];
};

__attribute__((noreturn)) static void run_child(const struct workload *workload, int fd)
{
	struct message message = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!workload->spans_cpus)
		bench_pin(0);
	message.status = workload->run(workload, &message.value);
	message.rate = bench_rate();
	if (message.status == BENCH_SKIPPED)
		snprintf(message.reason, sizeof(message.reason), "%s", bench_skip_reason());
	_exit(write(fd, &message, sizeof(message)) == (ssize_t)sizeof(message) ? 0 : 1);
}

static struct message run_once(const struct workload *workload)
{
	struct message message = {.status = STATUS_CRASHED};
	int fds[2];

	fflush(NULL);
	if (pipe(fds) < 0)
		return (struct message){.status = -errno};
	pid_t child = fork();
	if (child == 0)
		run_child(workload, fds[1]);
	int error = errno;
	close(fds[1]);
	if (child < 0) {
		close(fds[0]);
		return (struct message){.status = -error};
	}
	struct pollfd poll_fd = {.fd = fds[0], .events = POLLIN};
	int r = poll(&poll_fd, 1, LIMIT_MS);
	if (r == 0) {
		kill(child, SIGKILL);
		message.status = STATUS_HUNG;
	} else if (read(fds[0], &message, sizeof(message)) != (ssize_t)sizeof(message)) {
		message.status = STATUS_CRASHED;
	}
	close(fds[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return message;
}

void measure(struct figure *figure)
{
	if (figure->status != 0 || figure->runs == MEASURE_RUNS_MAX)
		return;
	struct message message = run_once(figure->workload);
	figure->status = message.status;
	if (message.status == 0) {
		figure->values[figure->runs] = message.value;
		figure->rates[figure->runs++] = message.rate;
	}
	memcpy(figure->reason, message.reason, sizeof(figure->reason));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

struct summary measure_summary(const double *values, int count)
{
	double sorted[MEASURE_RUNS_MAX];
	int middle = count / 2;

	memcpy(sorted, values, (size_t)count * sizeof(*sorted));
	qsort(sorted, (size_t)count, sizeof(*sorted), compare);
	return (struct summary){
	        .min = sorted[0],
	        .median = count % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2,
	        .max = sorted[count - 1],
	        .runs = count,
	};
}

double measure_median(const struct figure *figure)
{
	return measure_summary(figure->values, figure->runs).median;
}

const char *measure_strerror(int status)
{
	if (status == STATUS_CRASHED)
		return "the process ended without a figure";
	if (status == STATUS_HUNG)
		return "no figure within five minutes";
	return strerror(-status);
}

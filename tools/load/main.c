/* SPDX-License-Identifier: MIT */
/* main.c - knit-load: prepares a run, watches over its threads, prints what came out.
 *
 * knit-load is a yardstick for servers built on knit and for others, so it does not use
 * the library: epoll and plain threads, nothing that a fault of knit could touch. main
 * itself only waits: for news from the threads, for SIGINT or SIGTERM, and for the next
 * second. Signals are blocked in all threads and read from a descriptor, so no handler
 * runs anywhere. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "options.h"
#include "report.h"
#include "target.h"
#include "worker.h"

#define SECOND_NS         INT64_C(1000000000)
#define OTHER_DESCRIPTORS 16 /* standard streams, news, signals, and a reserve */

enum exit_status { EXIT_GOOD, EXIT_ERRORS, EXIT_USAGE };

/* Lifts the soft limit to the hard one. False, with a message, where that is too low. */
static bool have_descriptors(const struct load_options *options)
{
	rlim_t needed = (rlim_t)options->connections + 2 * options->threads + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return true; /* then socket() will tell */
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max >= needed)
		return true;
	fprintf(stderr,
	        "knit-load: %u connections need %llu descriptors, but the hard limit is %llu "
	        "(see 'ulimit -Hn')\n",
	        options->connections, (unsigned long long)needed,
	        (unsigned long long)limit.rlim_max);
	return false;
}

static int make_signal_fd(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void give_order(struct run *run, struct worker *workers, enum worker_order order)
{
	atomic_store(&run->order, order);
	for (uint32_t i = 0; i < run->options->threads; i++)
		worker_wake(&workers[i]);
}

static struct progress look_at(const struct worker *workers, uint32_t threads)
{
	struct progress progress = {0};
	for (uint32_t i = 0; i < threads; i++) {
		struct tally *tally = workers[i].tally;
		progress.open += atomic_load_explicit(&tally->open, memory_order_relaxed);
		progress.received += atomic_load_explicit(&tally->received, memory_order_relaxed);
		progress.failures += atomic_load_explicit(&tally->failures, memory_order_relaxed);
	}
	return progress;
}

/* Watches until every thread has ended. */
static void watch(struct run *run, struct worker *workers, int signal_fd)
{
	const struct load_options *options = run->options;
	struct pollfd fds[2] = {{.fd = run->news_fd, .events = POLLIN},
	                        {.fd = signal_fd, .events = POLLIN}};
	int64_t begun_ns = connection_clock_ns(), shown_ns = begun_ns;
	uint64_t shown_received = 0;
	enum worker_order order = WORKER_CONNECT;

	while (atomic_load(&run->ended) < options->threads) {
		struct signalfd_siginfo info;
		uint64_t news;
		int64_t now_ns = connection_clock_ns();
		int64_t left_ns = shown_ns + SECOND_NS - now_ns;

		if (left_ns <= 0) {
			struct progress progress = look_at(workers, options->threads);
			progress.elapsed = (double)(now_ns - begun_ns) / 1e9;
			progress.rate = (double)(progress.received - shown_received) * 1e9 /
			                (double)(now_ns - shown_ns);
			if (!options->quiet)
				report_progress(&progress);
			shown_received = progress.received;
			shown_ns = now_ns;
			continue;
		}
		poll(fds, 2, (int)(left_ns / 1000000) + 1);
		(void)!read(run->news_fd, &news, sizeof(news));
		if (read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			order = order < WORKER_STOP ? WORKER_STOP : WORKER_ABANDON;
			give_order(run, workers, order);
		}
		if (order == WORKER_CONNECT && atomic_load(&run->ready) == options->threads) {
			order = WORKER_GO;
			run->start_ns = connection_clock_ns();
			give_order(run, workers, order);
		}
	}
	report_progress_end();
}

/* From the end of the warm-up to the end of sending or, if the connections ended before,
 * to the last reply. */
static double measured_seconds(const struct run *run, const struct worker *workers,
                               const struct tally *sum)
{
	int64_t from_ns = run->start_ns + run->options->warmup_ns, to_ns = sum->last_reply_ns;

	if (run->start_ns == 0)
		return 0;
	for (uint32_t i = 0; i < run->options->threads; i++) {
		if (workers[i].stopped_ns > to_ns)
			to_ns = workers[i].stopped_ns;
	}
	if (run->options->duration_ns && to_ns > from_ns + run->options->duration_ns)
		to_ns = from_ns + run->options->duration_ns;
	return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e9 : 0;
}

static enum exit_status conclude(const struct run *run, struct worker *workers)
{
	struct tally *sum = calloc(1, sizeof(*sum));
	enum exit_status status = EXIT_ERRORS;

	if (!sum) {
		fprintf(stderr, "knit-load: out of memory\n");
		return EXIT_ERRORS;
	}
	for (uint32_t i = 0; i < run->options->threads; i++)
		tally_add(sum, workers[i].tally);
	report_result(run->options, sum, measured_seconds(run, workers, sum));
	if (sum->failures == 0 && sum->received > 0)
		status = EXIT_GOOD;
	else if (sum->failures == 0)
		fprintf(stderr, "knit-load: no reply was received\n");
	free(sum);
	return status;
}

static enum exit_status run_threads(struct run *run, struct worker *workers, int signal_fd)
{
	uint32_t threads = run->options->threads, made = 0, started = 0;
	enum exit_status status = EXIT_ERRORS;
	int r = 0;

	while (made < threads && (r = worker_init(&workers[made], run, made)) == 0)
		made++;
	while (r == 0 && started < threads && (r = worker_start(&workers[started])) == 0)
		started++;
	if (r == 0) {
		watch(run, workers, signal_fd);
	} else {
		fprintf(stderr, "knit-load: starting thread %u: %s\n", started, strerror(-r));
		atomic_store(&run->order, WORKER_ABANDON);
	}
	for (uint32_t i = 0; i < started; i++) {
		worker_wake(&workers[i]);
		pthread_join(workers[i].thread, NULL);
	}
	if (r == 0)
		status = conclude(run, workers);
	for (uint32_t i = 0; i < made; i++)
		worker_free(&workers[i]);
	return status;
}

int main(int argc, char **argv)
{
	struct load_options options;
	struct run run = {.options = &options};
	struct worker *workers;
	enum exit_status status;
	int signal_fd, r = load_options_parse(&options, argc, argv);

	if (r != 0)
		return r < 0 ? EXIT_USAGE : EXIT_GOOD;
	if (!have_descriptors(&options))
		return EXIT_USAGE;
	r = target_find(options.host, options.port, options.timeout_ns, &run.address,
	                &run.address_length);
	if (r != 0) {
		fprintf(stderr, "knit-load: %s: %s\n", options.host,
		        r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
		return EXIT_ERRORS;
	}
	signal_fd = make_signal_fd();
	run.news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	workers = calloc(options.threads, sizeof(*workers));
	if (signal_fd < 0 || run.news_fd < 0 || !workers) {
		fprintf(stderr, "knit-load: %s\n", strerror(errno));
		return EXIT_ERRORS;
	}
	status = run_threads(&run, workers, signal_fd);
	free(workers);
	close(run.news_fd);
	close(signal_fd);
	return status;
}

/* SPDX-License-Identifier: MIT */
/* worker.c - the event loop of one thread: connect, wait for the others, run, end.
 *
 * Connects are bounded, for a listener's backlog is: SYNs that it drops come back after a
 * second and would turn opening into the slowest part of the run. Timeouts are found by
 * looking at every connection twice a second, which costs less than a timer for each and
 * is exact enough for bounds of seconds. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "worker.h"

#define CONNECTING_MAX 128 /* of all threads together */
#define EVENTS_MAX     512
#define SWEEP_NS       INT64_C(500000000)

static void announce(struct run *run, _Atomic uint32_t *counter)
{
	uint64_t one = 1;
	atomic_fetch_add(counter, 1);
	/* Cannot fail: the counter of the eventfd is far from its end. */
	(void)!write(run->news_fd, &one, sizeof(one));
}

/* The share of @total of the part with @index, of @parts; the first get the remainder. */
static uint64_t share(uint64_t total, uint32_t index, uint32_t parts)
{
	return total / parts + (index < total % parts);
}

static void open_more(struct worker *worker)
{
	const struct load_options *options = worker->run->options;
	uint32_t bound = CONNECTING_MAX / options->threads, ring = connection_ring_size(options);

	while (worker->opened < worker->count && worker->context.connecting < (bound ? bound : 1)) {
		uint32_t i = worker->opened++, number = worker->first + i;
		uint64_t limit = UINT64_MAX;
		if (options->requests)
			limit = share(options->requests, number, options->connections);
		connection_open(&worker->connections[i], &worker->context, number, limit,
		                worker->begun_ns + (size_t)i * ring);
	}
}

static void begin_running(struct worker *worker)
{
	const struct load_options *options = worker->run->options;
	struct connection_context *context = &worker->context;

	worker->phase = WORKER_RUNNING;
	context->measure_from_ns = worker->run->start_ns + options->warmup_ns;
	context->measure_until_ns = options->duration_ns
	                                    ? context->measure_from_ns + options->duration_ns
	                                    : INT64_MAX;
	for (uint32_t i = 0; i < worker->count; i++)
		connection_send(&worker->connections[i], context, connection_clock_ns());
}

static void begin_ending(struct worker *worker, int64_t now_ns)
{
	worker->phase = WORKER_ENDING;
	worker->stopped_ns = now_ns;
	for (uint32_t i = 0; i < worker->opened; i++)
		connection_stop(&worker->connections[i], &worker->context);
}

static void sweep(struct worker *worker, int64_t now_ns, bool now_or_never)
{
	worker->next_sweep_ns = now_ns + SWEEP_NS;
	for (uint32_t i = 0; i < worker->opened; i++)
		connection_check(&worker->connections[i], &worker->context, now_ns, now_or_never);
}

/* What is due now that the events are handled. */
static void advance(struct worker *worker, int64_t now_ns)
{
	int order = atomic_load(&worker->run->order);
	bool must_end = order >= WORKER_STOP;

	if (worker->phase == WORKER_CONNECTING && !must_end) {
		open_more(worker);
		if (worker->opened == worker->count && worker->context.connecting == 0) {
			worker->phase = WORKER_READY;
			announce(worker->run, &worker->run->ready);
		}
	}
	if (worker->phase == WORKER_READY && order == WORKER_GO)
		begin_running(worker);
	if (worker->phase == WORKER_RUNNING && now_ns >= worker->context.measure_until_ns)
		must_end = true;
	if (must_end && worker->phase != WORKER_ENDING)
		begin_ending(worker, now_ns);
	if (order == WORKER_ABANDON ||
	    (worker->phase == WORKER_ENDING &&
	     now_ns >= worker->stopped_ns + worker->run->options->timeout_ns))
		sweep(worker, now_ns, true);
	else if (now_ns >= worker->next_sweep_ns)
		sweep(worker, now_ns, false);
	if (worker->phase >= WORKER_RUNNING && worker->context.alive == 0)
		worker->is_over = true;
}

/* Milliseconds until something is due, rounded up. */
static int time_to_wait(const struct worker *worker, int64_t now_ns)
{
	int64_t due_ns = worker->next_sweep_ns;
	if (worker->run->options->spin)
		return 0;
	if (worker->phase == WORKER_RUNNING && worker->context.measure_until_ns < due_ns)
		due_ns = worker->context.measure_until_ns;
	if (due_ns <= now_ns)
		return 0;
	return (int)((due_ns - now_ns + 999999) / 1000000);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct epoll_event events[EVENTS_MAX];
	int64_t now_ns = connection_clock_ns();

	worker->next_sweep_ns = now_ns + SWEEP_NS;
	advance(worker, now_ns);
	while (!worker->is_over) {
		int n = epoll_wait(worker->context.epoll_fd, events, EVENTS_MAX,
		                   time_to_wait(worker, now_ns));
		if (n < 0 && errno != EINTR) {
			tally_error(worker->tally, LOAD_OTHER, "epoll_wait: %s", strerror(errno));
			break;
		}
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			uint64_t wakes;
			if (connection)
				connection_event(connection, &worker->context, events[i].events);
			else
				(void)!read(worker->wake_fd, &wakes, sizeof(wakes));
		}
		now_ns = connection_clock_ns();
		advance(worker, now_ns);
	}
	announce(worker->run, &worker->run->ended);
	return NULL;
}

static int make_descriptors(struct worker *worker)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	worker->context.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (worker->context.epoll_fd < 0)
		return -errno;
	worker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake_fd < 0)
		return -errno;
	if (epoll_ctl(worker->context.epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) < 0)
		return -errno;
	return 0;
}

int worker_init(struct worker *worker, struct run *run, uint32_t index)
{
	const struct load_options *options = run->options;
	int r;

	*worker = (struct worker){
	        .run = run,
	        .wake_fd = -1,
	        .count = (uint32_t)share(options->connections, index, options->threads),
	        .tally = calloc(1, sizeof(struct tally)),
	};
	for (uint32_t i = 0; i < index; i++)
		worker->first += (uint32_t)share(options->connections, i, options->threads);
	worker->connections = calloc(worker->count, sizeof(*worker->connections));
	worker->begun_ns = calloc((size_t)worker->count * connection_ring_size(options),
	                          sizeof(int64_t));
	worker->context = (struct connection_context){
	        .options = options,
	        .address = (const struct sockaddr *)&run->address,
	        .address_length = run->address_length,
	        .epoll_fd = -1,
	        .buffer = malloc(CONNECTION_BUFFER_BYTES),
	        .tally = worker->tally,
	};
	r = -ENOMEM;
	if (worker->tally && worker->connections && worker->begun_ns && worker->context.buffer)
		r = make_descriptors(worker);
	if (r < 0)
		worker_free(worker);
	return r;
}

int worker_start(struct worker *worker)
{
	return -pthread_create(&worker->thread, NULL, work, worker);
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;
	(void)!write(worker->wake_fd, &one, sizeof(one));
}

void worker_free(struct worker *worker)
{
	if (worker->wake_fd >= 0)
		close(worker->wake_fd);
	if (worker->context.epoll_fd >= 0)
		close(worker->context.epoll_fd);
	/* Only a thread that broke off leaves connections open. */
	for (uint32_t i = 0; i < worker->opened; i++) {
		if (worker->connections[i].state != CONNECTION_ENDED)
			close(worker->connections[i].fd);
	}
	free(worker->context.buffer);
	free(worker->connections);
	free(worker->begun_ns);
	free(worker->tally);
}

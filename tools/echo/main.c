/* SPDX-License-Identifier: MIT */
/* main.c - knit-echo: N loops on N threads, each pinned to a CPU and with a listening socket of
 * its own on the one address (SO_REUSEPORT), so that the kernel spreads the connections. The main
 * thread runs no loop of its own: it waits for signals and hands them to the loops. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>
#include "server.h"

struct worker {
	struct server server;
	pthread_t thread;
	intptr_t outcome;
	char error[256];
};

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* SO_REUSEPORT would let a second server in on a port that one serves already. */
static int check_free(const struct options *options)
{
	const struct sockaddr *address = (const struct sockaddr *)&options->address;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r;
	const int on = 1;

	if (fd < 0)
		return -1;
	r = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
	            ? -1
	            : bind(fd, address, options->address_length);
	close(fd);
	return r;
}

/* A listening socket of the group. The first one settles the port for the others. What it accepts
 * inherits TCP_NODELAY: a system call less for each connection. */
static int open_socket(struct options *options)
{
	struct sockaddr *address = (struct sockaddr *)&options->address;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
	    bind(fd, address, options->address_length) == 0 && listen(fd, 4096) == 0 &&
	    getsockname(fd, address, &options->address_length) == 0)
		return fd;
	close(fd);
	return -1;
}

static void pin(const struct worker *worker)
{
	int cpu = worker->server.options->cpus[worker->server.index];
	cpu_set_t set;
	int r;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	r = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (r)
		fprintf(stderr, "knit-echo: warning: cannot pin loop %u to CPU %d: %s\n",
		        worker->server.index, cpu, strerror(r));
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	char name[16];

	snprintf(name, sizeof(name), "loop-%u", worker->server.index);
	(void)pthread_setname_np(pthread_self(), name);
	pin(worker);
	worker->outcome = knit_loop_run_until_complete(worker->server.loop, server_run,
	                                               &worker->server);
	if (knit_is_error(worker->outcome))
		snprintf(worker->error, sizeof(worker->error), "%s",
		         knit_error_message(worker->outcome));
	(void)knit_loop_close(worker->server.loop);
	return NULL;
}

#define ADDRESS_TEXT (INET6_ADDRSTRLEN + 16)

/* "HOST:PORT", in @text. */
static const char *address_text(const struct options *options, char text[ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (options->address.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&options->address;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&options->address;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(text, ADDRESS_TEXT, "%s:%u", host, ntohs(in->sin_port));
	}
	return text;
}

static void cannot_listen(const struct options *options)
{
	int error = errno;
	char address[ADDRESS_TEXT];

	fprintf(stderr, "knit-echo: cannot listen on %s: %s\n", address_text(options, address),
	        strerror(error));
}

static void announce(const struct options *options)
{
	char address[ADDRESS_TEXT];

	printf("knit-echo: listening on %s, %u loop%s\n", address_text(options, address),
	       options->loops, options->loops == 1 ? "" : "s");
	fflush(stdout);
}

/* Makes the loop and the socket of @worker, and starts its thread. */
static int start(struct worker *worker, struct options *options, unsigned index)
{
	int r;

	worker->server = (struct server){.options = options, .index = index, .fd = -1};
	worker->server.loop = knit_loop_new();
	if (!worker->server.loop) {
		r = errno;
		fprintf(stderr, "knit-echo: cannot make a loop: %s\n", knit_error_message(-r));
		return -1;
	}
	worker->server.fd = open_socket(options);
	if (worker->server.fd < 0) {
		cannot_listen(options);
		return -1;
	}
	r = pthread_create(&worker->thread, NULL, work, worker);
	if (r)
		fprintf(stderr, "knit-echo: cannot start a thread: %s\n", strerror(r));
	return r ? -1 : 0;
}

static atomic_bool all_ended; /* the loops: the watcher shall end too */

/* Hands each SIGINT and SIGTERM to every loop, until the last one has ended. A loop that is
 * closed already refuses the post, which is fine. */
static void *watch_signals(void *arg)
{
	struct worker *workers = arg;
	unsigned count = workers[0].server.options->loops;
	sigset_t set;
	int signum;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	while (!all_ended) {
		if (sigwait(&set, &signum))
			continue;
		for (unsigned i = 0; i < count; i++)
			(void)!knit_loop_call_soon_threadsafe(workers[i].server.loop, server_stop,
			                                      &workers[i].server);
	}
	return NULL;
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Joins the threads that were started. Returns the exit status. */
static int finish(struct worker *workers, unsigned count, bool stats)
{
	int status = EXIT_SUCCESS;

	for (unsigned i = 0; i < count; i++) {
		struct worker *worker = &workers[i];

		pthread_join(worker->thread, NULL);
		if (knit_is_error(worker->outcome)) {
			fprintf(stderr, "knit-echo: loop %u: %s\n", i, worker->error);
			status = EXIT_FAILURE;
		}
		if (stats)
			printf("knit-echo: loop %u on CPU %d: %lu connections, %lu bytes\n", i,
			       worker->server.options->cpus[i], worker->server.accepted,
			       worker->server.bytes);
	}
	return status;
}

/* Serves until a signal stops it. Returns the exit status. */
static int serve(struct options *options)
{
	struct worker *workers = calloc(options->loops, sizeof(*workers));
	pthread_t watcher;
	unsigned started = 0;
	int status;

	if (!workers)
		return EXIT_FAILURE;
	while (started < options->loops && start(&workers[started], options, started) == 0)
		started++;
	if (started < options->loops)
		_exit(EXIT_FAILURE); /* the threads end with the process */
	announce(options);
	if (pthread_create(&watcher, NULL, watch_signals, workers))
		_exit(EXIT_FAILURE);
	status = finish(workers, started, options->stats);
	/* Not pthread_cancel(): AddressSanitizer takes the frame that is left so for alive, and
	 * reports the end of the thread. */
	all_ended = true;
	pthread_kill(watcher, SIGTERM);
	pthread_join(watcher, NULL);
	for (unsigned i = 0; i < started; i++)
		knit_loop_unref(workers[i].server.loop);
	free(workers);
	return status;
}

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(&options, argc, argv), status = EXIT_FAILURE;

	if (r)
		return r < 0 ? 2 : EXIT_SUCCESS;
	if (check_free(&options) < 0) {
		cannot_listen(&options);
	} else {
		raise_descriptor_limit();
		block_signals();
		status = serve(&options);
	}
	free(options.cpus);
	return status;
}

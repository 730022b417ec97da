/* SPDX-License-Identifier: MIT */
/* server.h - an echo server on the running loop. */
#ifndef ECHO_SERVER_H
#define ECHO_SERVER_H
#include <knit.h>
#include "options.h"

/* One loop's part of the server. The thread that runs it owns it, but for what is said. */
struct server {
	const struct options *options;
	unsigned index;
	int fd;          /* bound and listening; the server's coroutine takes it over */
	knit_loop *loop; /* owned by main, which posts to it; set before the thread starts */
	knit_listener *listener;
	knit_task *accepting;     /* the task that accepts; cancelled to stop */
	struct connection *first; /* open connections, doubly linked */
	knit_future *idle;        /* somebody waits until no connection is left */
	unsigned long open, accepted, bytes;
	int stopping; /* how often it was asked to */
};

/* A coroutine: serves until server_stop(). @server: a struct server. */
intptr_t server_run(void *server);

/* A callback for its loop: the first call stops accepting and lets connections finish what they
 * have received, the next one cuts them. */
void server_stop(void *server);
#endif

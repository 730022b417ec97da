/* SPDX-License-Identifier: MIT */
/* scenes.c - see scenes.h. Unix sockets wherever the kernel may choose: on them everything has
 * happened when the system call that did it returns. */
#include "scenes.h"
#include <fcntl.h>
#include <poll.h>
#include "base/compiler.h"

static intptr_t receive_from(struct rig_call *call)
{
	return knit_sock_recvfrom(call->fd, call->buffer, call->size, NULL, NULL);
}

static intptr_t send_to(struct rig_call *call)
{
	return knit_sock_sendto(call->fd, call->buffer, call->size, NULL, 0);
}

static intptr_t take(struct rig_call *call)
{
	return knit_listener_accept(call->more, NULL, NULL);
}

static intptr_t connect_on(struct rig_call *call)
{
	struct rig_address *to = call->more;

	return knit_sock_connect(call->fd, RIG_NAME(to), to->length);
}

static void keep(struct scene *scene, int fd)
{
	scene->fds[scene->count++] = fd;
}

static void stream_up(struct scene *scene, intptr_t (*make)(struct rig_call *))
{
	rig_pair(AF_UNIX, scene->fds);
	scene->count = 2;
	scene->call = (struct rig_call){
	        .make = make, .fd = scene->fds[0], .buffer = scene->buffer, .size = 8};
}

static void recv_up(struct scene *scene)
{
	stream_up(scene, rig_recv);
}

static void recvfrom_up(struct scene *scene)
{
	stream_up(scene, receive_from);
}

static void read_up(struct scene *scene)
{
	rig_pipe(scene->fds);
	scene->count = 2;
	scene->call = (struct rig_call){
	        .make = rig_read, .fd = scene->fds[0], .buffer = scene->buffer, .size = 8};
}

static void poll_up(struct scene *scene)
{
	stream_up(scene, rig_poll);
	scene->call.size = POLLIN;
}

static void give_data(struct scene *scene)
{
	cr_assert_eq(write(scene->fds[1], "abc", 3), 3);
}

static void data_is_there(struct scene *scene, bool taken)
{
	cr_assert_eq(rig_drain(scene->fds[0]), taken ? 0 : 3);
}

static void data_is_still_there(struct scene *scene, bool taken)
{
	(void)taken;
	cr_assert_eq(rig_drain(scene->fds[0]), 3);
}

static void full_up(struct scene *scene, intptr_t (*make)(struct rig_call *))
{
	stream_up(scene, make);
	rig_narrow(scene->fds[0], 1);
	scene->filled = rig_fill(scene->fds[0]);
	memcpy(scene->buffer, "abcdefgh", 8);
}

static void sendall_up(struct scene *scene)
{
	full_up(scene, rig_sendall);
}

static void sendto_up(struct scene *scene)
{
	full_up(scene, send_to);
}

static void write_up(struct scene *scene)
{
	rig_pipe(scene->fds);
	scene->count = 2;
	scene->filled = rig_fill(scene->fds[1]);
	scene->call = (struct rig_call){
	        .make = rig_write, .fd = scene->fds[1], .buffer = scene->buffer, .size = 8};
}

static void make_room(struct scene *scene)
{
	int peer = scene->call.fd == scene->fds[0] ? scene->fds[1] : scene->fds[0];
	char junk[512];

	/* No more than that: what the call writes meanwhile comes behind it. */
	while (scene->filled) {
		size_t size = scene->filled < sizeof(junk) ? scene->filled : sizeof(junk);
		ssize_t n = read(peer, junk, size);

		cr_assert_gt(n, 0, "%s", strerror(errno));
		scene->filled -= (size_t)n;
	}
}

static void bytes_came(struct scene *scene, bool taken)
{
	int peer = scene->call.fd == scene->fds[0] ? scene->fds[1] : scene->fds[0];

	cr_assert_eq(rig_drain(peer), taken ? 8 : 0);
}

static void accept_up(struct scene *scene)
{
	keep(scene, rig_listening(AF_UNIX, 4, &scene->at));
	scene->call = (struct rig_call){.make = rig_accept, .fd = scene->fds[0]};
}

static void listener_up(struct scene *scene)
{
	scene->listener = knit_listener_new(rig_listening(AF_UNIX, 4, &scene->at));
	cr_assert_not_null(scene->listener);
	scene->call = (struct rig_call){.make = take, .more = scene->listener};
}

static void give_connection(struct scene *scene)
{
	keep(scene, rig_connected(&scene->at));
}

static void connection_is_there(struct scene *scene, bool taken)
{
	int fd = (int)scene->call.result;

	if (!taken && scene->listener) {
		fd = knit_listener_accept(scene->listener, NULL, NULL);
	} else if (!taken) {
		fcntl(scene->fds[0], F_SETFL, O_NONBLOCK);
		fd = accept4(scene->fds[0], NULL, NULL, SOCK_CLOEXEC);
	}
	cr_assert_geq(fd, 0, "the connection was lost");
	cr_assert_eq(close(fd), 0);
}

/* A connection that nobody answers: the backlog of the other side is full. */
static void connect_up(struct scene *scene)
{
	struct rig_address *to = &scene->at;

	keep(scene, rig_listening(AF_UNIX, 0, to));
	keep(scene, rig_connected(to));
	keep(scene, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	scene->call = (struct rig_call){.make = connect_on, .fd = scene->fds[2], .more = to};
}

static void answer(struct scene *scene)
{
	close(accept(scene->fds[0], NULL, NULL));
}

static void connects_later(struct scene *scene, bool taken)
{
	if (!taken)
		cr_assert_eq(connect(scene->fds[2], RIG_NAME(&scene->at), scene->at.length), 0);
	close(accept(scene->fds[0], NULL, NULL));
}

static const struct kind kinds[] = {
        {"recv", recv_up, give_data, 3, data_is_there},
        {"recvfrom", recvfrom_up, give_data, 3, data_is_there},
        {"read", read_up, give_data, 3, data_is_there},
        {"poll", poll_up, give_data, POLLIN, data_is_still_there},
        {"sendall", sendall_up, make_room, 8, bytes_came},
        {"sendto", sendto_up, make_room, 8, bytes_came},
        {"write", write_up, make_room, 8, bytes_came},
        {"accept", accept_up, give_connection, 0, connection_is_there},
        {"listener", listener_up, give_connection, 0, connection_is_there},
        {"connect", connect_up, answer, 0, connects_later},
};

bool scene_succeeded(const struct kind *kind, const struct scene *scene)
{
	if (kind->verify == connection_is_there)
		return scene->call.result >= 0;
	return scene->call.result == kind->success;
}

static intptr_t play_all(void *arg)
{
	scene_play *body = *(scene_play **)arg;

	for (size_t i = 0; i < KN_ARRAY_SIZE(kinds); i++) {
		struct scene scene = {.count = 0};

		kinds[i].set_up(&scene);
		body(&kinds[i], &scene);
		knit_listener_close(scene.listener);
		rig_close_all(scene.fds, scene.count);
		cr_assert_eq(rig_in_flight(), 0, "%s", kinds[i].name);
	}
	return 0;
}

void on_each_kind(scene_play *body)
{
	rig_run(play_all, &body);
}

void scene_cancelled(const struct kind *kind, const struct scene *scene, const char *text)
{
	cr_assert_eq(scene->call.result, -KNIT_ECANCELLED, "%s: %s", kind->name,
	             knit_errname((int)scene->call.result));
	cr_assert_eq(scene->call.next, 0, "%s: delivered twice", kind->name);
	cr_assert_str_eq(scene->call.message, text, "%s: %s", kind->name, scene->call.message);
}

/* SPDX-License-Identifier: MIT */
/* test_ops.c - each operation does what the system call of its name does, on each kind of
 * ring. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rig.h"

static void nop(struct kn_engine *engine)
{
	struct probe probe = probe_of(KN_OP_NOP, -1);

	cr_assert_eq(probe_run(engine, &probe), 0);
	cr_assert_eq(probe.calls, 1);
}

Test(engine_ops, nop_completes_with_0)
{
	rig_on_each_ring(0, 0, nop);
}

static void accept_connect(struct kn_engine *engine)
{
	int listener = rig_listener(8), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in server, from, local;
	socklen_t length = sizeof(server), from_length = sizeof(from);
	struct probe accepting = probe_of(KN_OP_ACCEPT, listener);
	struct probe connecting = probe_of(KN_OP_CONNECT, client);

	getsockname(listener, (struct sockaddr *)&server, &length);
	accepting.op.address = &from;
	accepting.op.offset = (uintptr_t)&from_length;
	accepting.op.flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	connecting.op.address = &server;
	connecting.op.length = length;
	probe_submit(engine, &accepting);
	cr_assert_eq(probe_run(engine, &connecting), 0);
	rig_pump(engine, &accepting.finals, 1);
	int fd = accepting.result;
	cr_assert_geq(fd, 0, "%s", strerror(-fd));

	length = sizeof(local);
	getsockname(client, (struct sockaddr *)&local, &length);
	cr_assert_eq(from_length, sizeof(from));
	cr_assert_eq(from.sin_port, local.sin_port);
	cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	close(fd);
	close(client);
	close(listener);
}

Test(engine_ops, accept_and_connect_meet_and_tell_the_address)
{
	rig_on_each_ring(0, 0, accept_connect);
}

static void refused(struct kn_engine *engine)
{
	int listener = rig_listener(1), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in server;
	socklen_t length = sizeof(server);
	struct probe connecting = probe_of(KN_OP_CONNECT, client);

	getsockname(listener, (struct sockaddr *)&server, &length);
	close(listener);
	connecting.op.address = &server;
	connecting.op.length = length;
	cr_assert_eq(probe_run(engine, &connecting), -ECONNREFUSED);
	close(client);
}

Test(engine_ops, connect_to_nobody_is_refused)
{
	rig_on_each_ring(0, 0, refused);
}

static void send_recv(struct kn_engine *engine)
{
	int fds[2];
	/* From the heap, so that valgrind knows it to be undefined before. */
	char *buffer = malloc(64);
	struct probe sending = probe_buffer(KN_OP_SEND, -1, "hello", 5);
	struct probe receiving = probe_buffer(KN_OP_RECV, -1, buffer, 64);

	rig_socketpair(fds);
	sending.op.fd = fds[0];
	receiving.op.fd = fds[1];
	probe_submit(engine, &receiving);
	cr_assert_eq(probe_run(engine, &sending), 5);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 5);
	cr_assert_eq(memcmp(buffer, "hello", 5), 0);

	/* What is there already comes at once; MSG_PEEK leaves it there. */
	cr_assert_eq(probe_run(engine, &sending), 5);
	receiving.op.flags = MSG_PEEK;
	cr_assert_eq(probe_run(engine, &receiving), 5);
	receiving.op.flags = 0;
	receiving.op.length = 2;
	cr_assert_eq(probe_run(engine, &receiving), 2);
	close(fds[0]);
	receiving.op.length = 64;
	cr_assert_eq(probe_run(engine, &receiving), 3);
	cr_assert_eq(probe_run(engine, &receiving), 0, "end of stream");
	close(fds[1]);
	free(buffer);
}

Test(engine_ops, send_and_recv_in_either_order_and_end_of_stream)
{
	rig_on_each_ring(0, 0, send_recv);
}

static void broken_pipe(struct kn_engine *engine)
{
	int fds[2];
	char byte = 'x';
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	rig_socketpair(fds);
	close(fds[1]);
	struct probe sending = probe_buffer(KN_OP_SEND, fds[0], &byte, 1);
	cr_assert_eq(probe_run(engine, &sending), -EPIPE);
	struct probe sendmsg = probe_buffer(KN_OP_SENDMSG, fds[0], &message, 0);
	cr_assert_eq(probe_run(engine, &sendmsg), -EPIPE);
	close(fds[0]);
}

Test(engine_ops, send_to_a_closed_peer_is_an_error_and_no_signal)
{
	rig_on_each_ring(0, 0, broken_pipe);
}

static int udp_socket(struct sockaddr_in *ret_address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t length = sizeof(*ret_address);

	*ret_address = (struct sockaddr_in){.sin_family = AF_INET,
	                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(bind(fd, (struct sockaddr *)ret_address, length), 0);
	getsockname(fd, (struct sockaddr *)ret_address, &length);
	return fd;
}

static void messages(struct kn_engine *engine)
{
	struct sockaddr_in here, there, from;
	int a = udp_socket(&here), b = udp_socket(&there);
	char *one = malloc(3), *two = malloc(8);
	char abc[] = "abc", defg[] = "defg";
	struct iovec out[2] = {{abc, 3}, {defg, 4}}, in[2] = {{one, 3}, {two, 8}};
	struct msghdr sent = {
	        .msg_name = &there, .msg_namelen = sizeof(there), .msg_iov = out, .msg_iovlen = 2};
	struct msghdr got = {
	        .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = in, .msg_iovlen = 2};
	struct probe receiving = probe_buffer(KN_OP_RECVMSG, b, &got, 0);
	struct probe sending = probe_buffer(KN_OP_SENDMSG, a, &sent, 0);

	probe_submit(engine, &receiving);
	cr_assert_eq(probe_run(engine, &sending), 7);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 7);
	cr_assert_eq(memcmp(one, "abc", 3), 0);
	cr_assert_eq(memcmp(two, "defg", 4), 0);
	cr_assert_eq(got.msg_namelen, sizeof(from));
	cr_assert_eq(from.sin_port, here.sin_port);
	cr_assert_eq(got.msg_flags, 0);
	free(one);
	free(two);
	close(a);
	close(b);
}

Test(engine_ops, sendmsg_and_recvmsg_scatter_and_tell_the_sender)
{
	rig_on_each_ring(0, 0, messages);
}

static void files(struct kn_engine *engine)
{
	int fd = rig_file();
	char *buffer = malloc(16);
	struct probe writing = probe_buffer(KN_OP_WRITE, fd, "0123456789", 10);
	struct probe reading = probe_buffer(KN_OP_READ, fd, buffer, 4);

	writing.op.offset = 100;
	cr_assert_eq(probe_run(engine, &writing), 10);
	reading.op.offset = 103;
	cr_assert_eq(probe_run(engine, &reading), 4);
	cr_assert_eq(memcmp(buffer, "3456", 4), 0);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0, "offsets leave the position alone");

	/* Without an offset, at the position and moving it. */
	lseek(fd, 105, SEEK_SET);
	reading.op.offset = (uint64_t)-1;
	cr_assert_eq(probe_run(engine, &reading), 4);
	cr_assert_eq(memcmp(buffer, "5678", 4), 0);
	cr_assert_eq(probe_run(engine, &reading), 1);
	cr_assert_eq(buffer[0], '9');
	cr_assert_eq(probe_run(engine, &reading), 0, "end of file");

	struct probe syncing = probe_of(KN_OP_FSYNC, fd);
	cr_assert_eq(probe_run(engine, &syncing), 0);
	syncing.op.flags = 1;
	cr_assert_eq(probe_run(engine, &syncing), 0);
	free(buffer);
	close(fd);
}

Test(engine_ops, read_and_write_at_an_offset_or_at_the_position)
{
	rig_on_each_ring(0, 0, files);
}

static void pipes(struct kn_engine *engine)
{
	int ends[2];
	char *buffer = malloc(8);

	cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
	struct probe reading = probe_buffer(KN_OP_READ, ends[0], buffer, 8);
	struct probe writing = probe_buffer(KN_OP_WRITE, ends[1], "pipe", 4);
	probe_submit(engine, &reading);
	cr_assert_eq(probe_run(engine, &writing), 4);
	rig_pump(engine, &reading.finals, 1);
	cr_assert_eq(reading.result, 4, "%s", strerror(-reading.result));
	cr_assert_eq(memcmp(buffer, "pipe", 4), 0);
	free(buffer);
	close(ends[0]);
	close(ends[1]);
}

Test(engine_ops, read_on_a_pipe_waits_for_a_writer)
{
	rig_on_each_ring(0, 0, pipes);
}

static void polls(struct kn_engine *engine)
{
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	struct probe readable = probe_of(KN_OP_POLL, ends[0]);
	readable.op.flags = POLLIN;
	struct probe writable = probe_of(KN_OP_POLL, ends[1]);
	writable.op.flags = POLLOUT;

	probe_submit(engine, &readable);
	cr_assert_eq(probe_run(engine, &writable), POLLOUT);
	cr_assert_eq(readable.calls, 0);
	cr_assert_eq(write(ends[1], "x", 1), 1);
	rig_pump(engine, &readable.finals, 1);
	cr_assert_eq(readable.result, POLLIN);
	close(ends[1]);
	cr_assert_eq(probe_run(engine, &readable), POLLIN | POLLHUP);
	close(ends[0]);
}

Test(engine_ops, poll_tells_the_events)
{
	rig_on_each_ring(0, 0, polls);
}

static void shutdown_close(struct kn_engine *engine)
{
	int fds[2];
	char byte;

	rig_socketpair(fds);
	struct probe ending = probe_of(KN_OP_SHUTDOWN, fds[0]);
	ending.op.length = SHUT_WR;
	struct probe receiving = probe_buffer(KN_OP_RECV, fds[1], &byte, 1);
	probe_submit(engine, &receiving);
	cr_assert_eq(probe_run(engine, &ending), 0);
	rig_pump(engine, &receiving.finals, 1);
	cr_assert_eq(receiving.result, 0);
	cr_assert_eq(write(fds[1], "x", 1), 1, "only one direction was shut down");

	struct probe closing = probe_of(KN_OP_CLOSE, fds[0]);
	cr_assert_eq(probe_run(engine, &closing), 0);
	cr_assert_eq(fcntl(fds[0], F_GETFD), -1);
	close(fds[1]);
}

Test(engine_ops, shutdown_ends_the_peers_stream_and_close_closes)
{
	rig_on_each_ring(0, 0, shutdown_close);
}

static void opens(struct kn_engine *engine)
{
	char folder[] = "/tmp/engine-test-XXXXXX";
	struct stat status;

	cr_assert_not_null(mkdtemp(folder));
	int directory = open(folder, O_DIRECTORY | O_CLOEXEC);
	struct probe opening = probe_buffer(KN_OP_OPENAT, directory, "file", 0640);
	opening.op.flags = O_RDWR | O_CLOEXEC;
	cr_assert_eq(probe_run(engine, &opening), -ENOENT);
	umask(0);
	opening.op.flags |= O_CREAT | O_EXCL;
	int fd = probe_run(engine, &opening);
	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	cr_assert_eq(fstat(fd, &status), 0);
	cr_assert_eq(status.st_mode & 07777, 0640);
	cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(probe_run(engine, &opening), -EEXIST);
	close(fd);

	struct probe absolute = probe_buffer(KN_OP_OPENAT, AT_FDCWD, folder, 0);
	absolute.op.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	fd = probe_run(engine, &absolute);
	cr_assert_geq(fd, 0, "%s", strerror(-fd));
	close(fd);
	unlinkat(directory, "file", 0);
	close(directory);
	rmdir(folder);
}

Test(engine_ops, openat_opens_below_a_directory_or_anywhere)
{
	rig_on_each_ring(0, 0, opens);
}

static void bad_descriptors(struct kn_engine *engine)
{
	static const int wrong[] = {-1, 1000000, 1 << 30};
	char space[128] = {0}, relative[] = "relative";
	struct msghdr message = {0};
	/* What fails does not keep what follows from being done. */
	struct probe last = probe_of(KN_OP_NOP, -1);

	for (size_t i = 0; i < KN_ARRAY_SIZE(wrong); i++) {
		for (int opcode = KN_OP_NOP + 1; opcode < KN_OP_COUNT; opcode++) {
			struct probe probe = probe_buffer((enum kn_opcode)opcode, wrong[i], space,
			                                  sizeof(space));
			if (opcode == KN_OP_OPENAT) {
				probe.op.address = relative;
				probe.op.length = 0;
			} else if (opcode == KN_OP_RECVMSG || opcode == KN_OP_SENDMSG) {
				probe.op.address = &message;
				probe.op.length = 0;
			} else if (opcode == KN_OP_ACCEPT) {
				probe.op.address = NULL;
			} else if (opcode == KN_OP_SHUTDOWN) {
				probe.op.length = SHUT_RD;
			}
			probe_submit(engine, &probe);
			probe_submit(engine, &last);
			rig_pump(engine, &last.finals, 1);
			rig_pump(engine, &probe.finals, 1);
			cr_assert_eq(probe.result, -EBADF, "operation %d on %d: %d", opcode,
			             wrong[i], probe.result);
		}
	}
}

Test(engine_ops, every_operation_on_a_bad_descriptor_is_ebadf)
{
	rig_on_each_ring(0, 0, bad_descriptors);
}

static void submit_unknown(void *arg)
{
	struct kn_engine *engine = rig_engine(0, 0);
	struct probe probe = probe_of(KN_OP_COUNT, -1);

	(void)arg;
	probe_submit(engine, &probe);
}

Test(engine_ops, an_unknown_operation_ends_the_process)
{
	test_death(submit_unknown, NULL, "unknown code");
}

/* SPDX-License-Identifier: MIT */
/* rig.h - what the tests of lib/io share: a loop to run in, descriptors, and counts. */
#ifndef TEST_IO_RIG_H
#define TEST_IO_RIG_H
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "engine/engine.h"
#include "knit.h"
#include "test.h"

/* Runs @main as the main task of a loop. The test fails unless it returns 0 and as many
 * descriptors are open afterwards as before. */
void rig_run(knit_coro *main, void *arg);
/* On a ring of these sizes; 0 for the default. */
void rig_run_on(knit_coro *main, void *arg, uint32_t sq_entries, uint32_t cq_entries);

/* Has @loop report to nobody that its tasks were destroyed. */
void rig_silence(knit_loop *loop);

/* How often: test_scale(), times the number in the environment variable KNIT_STRESS. */
long rig_rounds(long plain, long asan, long tsan, long valgrind);
/* A sequence of numbers that is the same in each run. */
uint32_t rig_random(uint32_t *state);

/* ---- in a task ---- */

/* Lets the others run so many passes. */
void rig_yield(int passes);
/* Long enough for a task that was just created to have its first call in the kernel. */
#define RIG_IN_KERNEL 3
/* Runs passes until *@flag is set; fails the test if it takes absurdly many. */
void rig_until(const volatile bool *flag);
struct kn_engine *rig_engine(void);
/* Operations in flight but for the loop's own. */
size_t rig_in_flight(void);

/* A task that makes one call and keeps what it returned. */
struct rig_call {
	intptr_t (*make)(struct rig_call *call);
	int fd;
	void *buffer;
	size_t size;
	void *more;       /* what else the call needs */
	intptr_t result;  /* of the call */
	intptr_t next;    /* of a knit_sleep(0) right after it: delivers what stayed pending */
	char message[64]; /* of the cancellation, whichever of the two brought it */
	bool done;
};
intptr_t rig_recv(struct rig_call *call);
intptr_t rig_sendall(struct rig_call *call);
intptr_t rig_read(struct rig_call *call);
intptr_t rig_write(struct rig_call *call);
intptr_t rig_accept(struct rig_call *call);
intptr_t rig_poll(struct rig_call *call); /* size: the events */
knit_task *rig_start(struct rig_call *call);
/* Awaits the task of rig_start(). */
void rig_finish(knit_task *task);

/* ---- descriptors ---- */

struct rig_address {
	struct sockaddr_storage name;
	socklen_t length;
};
#define RIG_NAME(address) ((struct sockaddr *)&(address)->name)

/* Loopback with a port of the kernel's choice; for AF_UNIX a name of the kernel's choice. */
struct rig_address rig_any(int family);
/* What the socket is bound to. */
struct rig_address rig_name(int fd);
/* A socket bound to rig_any(). */
int rig_bound(int family, int type);
/* A socket that listens, and where. */
int rig_listening(int family, int backlog, struct rig_address *ret);
/* A socket connected to @address, by plain system calls. */
int rig_connected(const struct rig_address *address);
/* Two connected stream sockets: AF_UNIX a socketpair, else TCP. */
void rig_pair(int family, int ret_ends[2]);
void rig_pipe(int ret_ends[2]);
/* A file without a name. */
int rig_file(void);
void rig_close_all(const int *fds, int count);
/* Is there IPv6 on this machine? */
bool rig_has_ipv6(void);
/* Makes the socket's buffers so small; 1: as small as the kernel lets it. */
void rig_narrow(int fd, int bytes);
/* Fills what can be written without blocking; returns the bytes. */
size_t rig_fill(int fd);
/* Reads what can be read without blocking; returns the bytes. */
size_t rig_drain(int fd);
/* Lowers the soft limit of descriptors for good, or skips the test: valgrind keeps limits to
 * itself, the kernel does not hear of them. */
void rig_limit_descriptors(unsigned count);
/* Raises the soft limit of descriptors to at least @count; false if it cannot. */
bool rig_allow_descriptors(unsigned count);

#endif

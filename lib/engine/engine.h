/* SPDX-License-Identifier: MIT */
/* engine.h - the kernel boundary: an operation, submit, cancel, wait.
 *
 * Nothing above this layer knows which engine runs; uring.c is the one there is.
 * An engine belongs to one thread from kn_engine_start() on.
 *
 * The life of an operation: the caller fills the upper part and calls
 * kn_engine_submit(). The operation, and every buffer it names, is the engine's until
 * complete() was called with op->more false; that call may come at any later
 * kn_engine_reap(), never inside submit or cancel. Cancelling is a request: the
 * operation still completes, with whatever the kernel says. An operation whose
 * cancellation was sent completes only after the kernel has answered the cancellation
 * too, so that neither memory nor user data can be met by a late one. */
#ifndef KN_ENGINE_ENGINE_H
#define KN_ENGINE_ENGINE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/compiler.h"
#include "base/list.h"

enum kn_opcode {
	KN_OP_NOP,
	KN_OP_ACCEPT,   /* fd; address -> sockaddr, offset -> (socklen_t *) or 0; flags: SOCK_*;
	                 * multishot: address must be NULL */
	KN_OP_CONNECT,  /* fd; address: sockaddr; length: its size */
	KN_OP_RECV,     /* fd, address, length; flags: MSG_* */
	KN_OP_SEND,     /* fd, address, length; flags: MSG_* (MSG_NOSIGNAL is added) */
	KN_OP_RECVMSG,  /* fd; address: msghdr; flags: MSG_* */
	KN_OP_SENDMSG,  /* fd; address: msghdr; flags: MSG_* (MSG_NOSIGNAL is added) */
	KN_OP_READ,     /* fd, address, length, offset ((uint64_t)-1: the file position) */
	KN_OP_WRITE,    /* fd, address, length, offset */
	KN_OP_POLL,     /* fd; flags: POLL*; result: the events; may be multishot */
	KN_OP_CLOSE,    /* fd */
	KN_OP_SHUTDOWN, /* fd; length: SHUT_* */
	KN_OP_OPENAT,   /* fd: directory or AT_FDCWD; address: path; flags: O_*; length: mode */
	KN_OP_FSYNC,    /* fd; flags: 1 for data only */
	KN_OP_COUNT,
};

struct kn_op {
	/* what to do: the caller's */
	uint8_t opcode; /* enum kn_opcode */
	bool multishot; /* ACCEPT and POLL: completes again and again */
	int fd;         /* -1 where the operation has none */
	uint32_t length;
	uint32_t flags;
	void *address;
	uint64_t offset;
	void (*complete)(struct kn_op *op);
	void *owner; /* what complete() looks at: brought into the cache ahead of it; or NULL */

	/* how it went: valid in complete() */
	int result; /* as the system call, negative errno for an error */
	bool more;  /* multishot: further completions will follow */

	/* the engine's own */
	uint8_t state;
	uint8_t due; /* final completions that the kernel still owes: the operation's own and
	              * that of its cancellation */
	bool cancel_requested;
	struct kn_list link;    /* in the list of its descriptor, or of those without one */
	struct kn_list waiting; /* in the list of those that found no room in the ring */
	int final_result;
};

struct kn_engine;

/* What a pass of the loop asks of the engine, at the beginning of every engine so that asking is
 * inline. The words pointed to are shared with the kernel. */
struct kn_engine_pulse {
	/* Since the last reap nothing was handed to the engine, and that reap left nothing. */
	bool settled;
	unsigned kept_back; /* flags: completions come with the next enter */
	const unsigned *flags;
	const unsigned *arrived, *taken; /* numbers of completions */
};

struct kn_engine_options {
	unsigned sq_entries; /* 0: 256 */
	unsigned cq_entries; /* 0: 4096 */
	int64_t min_wait;    /* ns that a wait for several may take; 0: waits are for one */
};

struct kn_engine_counters {
	uint64_t enters;     /* system calls made */
	uint64_t submitted;  /* entries given to the kernel */
	uint64_t completed;  /* completions taken */
	uint64_t overflows;  /* times the kernel had to keep completions back */
	uint64_t queue_full; /* times an operation found no room in the ring */
};

/* Makes an engine, not yet bound to a thread (the ring is made disabled). 0, or a negative
 * errno with a sentence in @why that says which of sysctl, seccomp, ENOSYS, memlock or
 * descriptor limit it was and what to do. */
KN_NODISCARD int kn_engine_new(struct kn_engine **ret, const struct kn_engine_options *options,
                               char *why, size_t why_size);

/* Binds it to the calling thread, for good. Called before anything below. 0 or an error,
 * as above. Repeating it is harmless. */
KN_NODISCARD int kn_engine_start(struct kn_engine *engine, char *why, size_t why_size);

/* Nothing may be in flight (see kn_engine_drain()). */
void kn_engine_free(struct kn_engine *engine);

/* Hands @op to the engine. 0, or -ENOMEM: the operation was not taken. A full ring is no
 * error: the operation waits its turn in the engine. Makes no system call but to empty a
 * full ring. */
KN_NODISCARD int kn_engine_submit(struct kn_engine *engine, struct kn_op *op);

/* Sends what the socket @fd takes at once, by a system call of its own: where nothing else is on
 * its way to the kernel or back, an operation would cost one too. Bytes, or a negative errno;
 * -EAGAIN: an operation has to send it, for want of room or because others share its call. */
ssize_t kn_engine_send_alone(struct kn_engine *engine, int fd, const void *buffer, size_t size);

/* Asks the kernel to end @op, which must be in flight. May be repeated. Cannot fail. */
void kn_engine_cancel(struct kn_engine *engine, struct kn_op *op);

/* Submits what is queued and, if @wait is not 0, waits until something completes or CLOCK_MONOTONIC
 * reaches @deadline (ns; INT64_MAX: for ever). With @wait above 1 it waits for as many completions,
 * but after options.min_wait for no more than one; the deadline counts as one of them. Makes no
 * system call if there is nothing to submit, nothing that the kernel keeps back and no reason to
 * wait. It returns earlier, with nothing completed, where a signal was handled, or where the kernel
 * could not take something and is to be asked again: look around and call again. 0, or a negative
 * errno after which the engine is of no more use; -EINTR, -EAGAIN, -EBUSY and the like are dealt
 * with inside. */
int kn_engine_enter(struct kn_engine *engine, unsigned wait, int64_t deadline);

/* Calls complete() at most @max times. Returns how often. Not from inside complete(). */
unsigned kn_engine_reap(struct kn_engine *engine, unsigned max);

/* Is there anything that kn_engine_reap() or an enter without waiting would bring? */
bool kn_engine_ready(const struct kn_engine *engine);

/* Is there nothing at all to do for the engine: nothing to submit, to fetch or to reap? */
static inline bool kn_engine_quiet(const struct kn_engine *engine)
{
	const struct kn_engine_pulse *pulse = (const struct kn_engine_pulse *)engine;

	return kn_likely(pulse->settled) &&
	       kn_likely(__atomic_load_n(pulse->arrived, __ATOMIC_ACQUIRE) == *pulse->taken) &&
	       kn_likely(!(__atomic_load_n(pulse->flags, __ATOMIC_ACQUIRE) & pulse->kept_back));
}

/* Operations that were submitted and have not completed for the last time. */
size_t kn_engine_in_flight(const struct kn_engine *engine);

/* The operations in flight on @fd, linked by op->link; NULL or empty if none. Walk it with
 * care: cancel does not change it, reap does. */
struct kn_list *kn_engine_ops_of(struct kn_engine *engine, int fd);

/* Cancels everything and reaps until nothing is in flight or CLOCK_MONOTONIC reaches
 * @deadline. complete() is called for each. Returns how many are left. */
size_t kn_engine_drain(struct kn_engine *engine, int64_t deadline);

/* For a host that waits in a main loop of its own: a descriptor that polls readable when
 * there is something to reap, or the deadline of the last kn_engine_arm() has been reached.
 * The engine's: not to be read or closed. A negative errno if it cannot be made. */
KN_NODISCARD int kn_engine_fd(struct kn_engine *engine);

/* The last thing before the host polls: submits what is queued and sees to it that
 * kn_engine_fd() polls readable at @deadline (as in kn_engine_enter()) at the latest. It may
 * do so before, for a deadline that has moved later since: look at the clock. 0, or a negative
 * errno as of kn_engine_enter(). */
KN_NODISCARD int kn_engine_arm(struct kn_engine *engine, int64_t deadline);

void kn_engine_counters(const struct kn_engine *engine, struct kn_engine_counters *ret);

/* ---- the seam for tests --------------------------------------------------------
 * Each hook may be NULL. They see every operation and every enter of the engine. */
struct kn_engine_faults {
	void *arg;
	/* Before an entry is put into the ring, again at each attempt: an operation,
	 * its cancellation (@op->cancel_requested), or the engine's timer (@op is NULL).
	 * False: behave as if the ring had no room. */
	bool (*room)(void *arg, const struct kn_op *op);
	/* Instead of the system call; @call makes it. May call and then lie: return
	 * -EINTR, -EAGAIN, -EBUSY, -ENOMEM, or what ends the engine. */
	int (*enter)(void *arg, struct kn_engine *engine, unsigned submit, unsigned wait,
	             int (*call)(struct kn_engine *, unsigned submit, unsigned wait));
	/* Before a completion is looked at. May change *@result (never from an error to a
	 * success). False: keep it back, it is offered again at the next reap. */
	bool (*completion)(void *arg, const struct kn_op *op, int *result);
};
void kn_engine_set_faults(struct kn_engine *engine, const struct kn_engine_faults *faults);

/* Engines made from now on meet a kernel that knows none of these io_uring_setup(2) flags:
 * how an older one would do. 0 ends it. Not thread-safe. */
void kn_engine_refuse_setup_flags(unsigned flags);
#endif

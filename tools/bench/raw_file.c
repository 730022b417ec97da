/* SPDX-License-Identifier: MIT */
/* raw_file.c - W11 without a runtime: pread() in a loop, into one buffer; preadv2() that does not
 * wait, into as many buffers as knit has tasks, one after the other; and a bare ring with as many
 * reads in flight, that waits for one completion at a time or for eight. */
#include <errno.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>
#include "file.h"
#include "raw.h"

#define RING_ENTRIES 64

static int pread_all(struct file *file)
{
	do {
		uint64_t offset = file_next_offset(file);
		if (pread(file->fd, file->buffers, FILE_BLOCK, (off_t)offset) != FILE_BLOCK)
			return -EIO;
		file_consume(file, file->buffers);
		/* One in 16, so that reading the clock stays small beside 1 us. */
	} while (file->reads % 16 || bench_now_ns() < file->end_ns);
	return 0;
}

/* The least that a read can be which is tried without waiting: the system call, and the buffers. */
static int preadv2_all(struct file *file)
{
	do {
		struct iovec piece = {file->buffers + file->reads % FILE_DEPTH * FILE_BLOCK,
		                      FILE_BLOCK};
		uint64_t offset = file_next_offset(file);
		if (preadv2(file->fd, &piece, 1, (off_t)offset, RWF_NOWAIT) != FILE_BLOCK)
			return -EIO;
		file_consume(file, piece.iov_base);
	} while (file->reads % 16 || bench_now_ns() < file->end_ns);
	return 0;
}

static void queue_read(struct io_uring *ring, struct file *file, unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_read(sqe, file->fd, file->buffers + slot * FILE_BLOCK, FILE_BLOCK,
	                   file_next_offset(file));
	sqe->user_data = slot;
}

static int ring_all(struct file *file, unsigned at_least)
{
	struct io_uring ring;
	struct io_uring_cqe *cqes[FILE_DEPTH];
	unsigned in_flight = FILE_DEPTH;
	bool is_over = false;
	int r = io_uring_queue_init(RING_ENTRIES, &ring,
	                            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	if (r < 0)
		return r;
	for (unsigned slot = 0; slot < FILE_DEPTH; slot++)
		queue_read(&ring, file, slot);
	while (in_flight) {
		r = io_uring_submit_and_wait(&ring, is_over ? 1 : at_least);
		if (r < 0)
			return r;
		unsigned count = io_uring_peek_batch_cqe(&ring, cqes, FILE_DEPTH);
		is_over = is_over || bench_now_ns() >= file->end_ns;
		for (unsigned i = 0; i < count; i++) {
			unsigned slot = (unsigned)cqes[i]->user_data;
			if (cqes[i]->res != FILE_BLOCK)
				return cqes[i]->res < 0 ? cqes[i]->res : -EIO;
			file_consume(file, file->buffers + slot * FILE_BLOCK);
			if (is_over)
				in_flight--;
			else
				queue_read(&ring, file, slot);
		}
		io_uring_cq_advance(&ring, count);
	}
	io_uring_queue_exit(&ring);
	return 0;
}

int raw_file_read(const struct workload *workload, double *ret_value)
{
	int variant = (int)(workload->argument & ~RAW_FILE_DIRECT);
	struct file file;
	int r = file_begin(&file, workload->argument & RAW_FILE_DIRECT);

	if (r != 0)
		return r;
	if (variant == RAW_FILE_PREAD)
		r = pread_all(&file);
	else if (variant == RAW_FILE_PREADV2)
		r = preadv2_all(&file);
	else
		r = ring_all(&file, variant == RAW_FILE_RING_8 ? 8 : 1);
	if (r == 0)
		*ret_value = file_end(&file);
	return r;
}

/* SPDX-License-Identifier: MIT */
/* raw_file.c - file reads: raw_file (uring|uringb|pread) PATH direct(0|1) SECONDS */
#include "common.h"
#include <fcntl.h>
#include <liburing.h>
#define QD 32
static uint64_t s = SEED, n, stop;
static char *b;
static off_t place(void)
{
	return (off_t)(rnd_(&s) % 262144) * 4096;
}
static void by_pread(int fd)
{
	do {
		if (pread(fd, b, 4096, place()) != 4096)
			exit(1);
		n++;
	} while ((n & 15) || now_ns() < stop);
}
static struct io_uring r;
static void queue_read(int fd, int id)
{
	struct io_uring_sqe *q = io_uring_get_sqe(&r);
	io_uring_prep_read(q, fd, b + id * 4096, 4096, (uint64_t)place());
	q->user_data = (uint64_t)id;
}
/* Waits for at least @batch completions at a time. */
static void by_ring(int fd, unsigned batch)
{
	struct io_uring_cqe *cq[QD];
	int inflight = QD, end = 0;
	for (int i = 0; i < QD; i++)
		queue_read(fd, i);
	while (inflight) {
		io_uring_submit_and_wait(&r, end ? 1 : batch);
		unsigned k = io_uring_peek_batch_cqe(&r, cq, QD);
		if (!end && now_ns() >= stop)
			end = 1;
		for (unsigned i = 0; i < k; i++) {
			if (cq[i]->res != 4096) {
				fprintf(stderr, "res %d\n", cq[i]->res);
				exit(1);
			}
			n++;
			if (end)
				inflight--;
			else
				queue_read(fd, (int)cq[i]->user_data);
		}
		io_uring_cq_advance(&r, k);
	}
}
int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	int direct = atoi(argv[3]), fd = open(argv[2], O_RDONLY | (direct ? O_DIRECT : 0));
	double secs = atof(argv[4]);
	if (fd < 0 || posix_memalign((void **)&b, 4096, QD * 4096)) {
		perror("open");
		return 1;
	}
	char w[64];
	snprintf(w, sizeof w, "W11_file_%s", direct ? "direct" : "cached");
	int is_pread = is(argv[1], "pread"), batch = is(argv[1], "uringb") ? 8 : 1;
	const char *p = is_pread ? "raw-pread-QD1" : batch > 1 ? "raw-uring-batch8" : "raw-uring";
	if (io_uring_queue_init(64, &r, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN))
		return 1;
	uint64_t t = now_ns(), c = cpu_ns();
	stop = t + (uint64_t)(secs * 1e9);
	if (is_pread)
		by_pread(fd);
	else
		by_ring(fd, (unsigned)batch);
	uint64_t e = now_ns();
	printf("%s %s.rate %.0f IOPS\n%s %s.cpu %.3f us-cpu/op\n", p, w,
	       (double)n / ((double)(e - t) / 1e9), p, w,
	       (double)(cpu_ns() - c) / (double)n / 1000);
	return 0;
}

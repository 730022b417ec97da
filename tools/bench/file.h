/* SPDX-License-Identifier: MIT */
/* file.h - the file of W11: random blocks of it are read for a while. */
#ifndef BENCH_FILE_H
#define BENCH_FILE_H
#include "bench.h"

#define FILE_BLOCK   4096
#define FILE_DEPTH   32 /* reads in flight */
#define FILE_DEFAULT (INT64_C(1) << 30)

/* What the command line says; set before rows run. */
struct file_options {
	const char *path; /* NULL: made in $TMPDIR, or /var/tmp, and removed at the end */
	int64_t bytes;    /* of a file that is made */
	double seconds;   /* of a row */
};
extern struct file_options file_options;

struct file {
	int fd;
	char *buffers; /* FILE_DEPTH of them, aligned for O_DIRECT */
	uint64_t blocks, random_state;
	uint64_t reads, sum; /* of what was read: that reads are not left out */
	uint64_t begun_ns, begun_cpu_ns, end_ns;
};

/* Makes the file if it is not there; 0, or a negative errno with a line on stderr. The process
 * that calls file_prepare() removes at its exit what it made without being given a name. */
int file_prepare(void);

/* Opens it, reads it once from end to end if not @is_direct, so that it is cached, and looks at
 * the clocks. 0, BENCH_SKIPPED or a negative errno. */
int file_begin(struct file *file, bool is_direct);

/* CPU us of this process and of the kernel's threads in it for a read; notes the rate. */
double file_end(struct file *file);

static inline uint64_t file_next_offset(struct file *file)
{
	return bench_random(&file->random_state) % file->blocks * FILE_BLOCK;
}

/* A block was read. */
static inline void file_consume(struct file *file, const void *block)
{
	file->sum += *(const uint64_t *)block;
	file->reads++;
}
#endif

/* SPDX-License-Identifier: MIT */
/* file.c - the file of W11.
 *
 * It is written once, with numbers that differ from block to block: a file with holes would be
 * read without a look at the disk. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "file.h"

#define CHUNK ((size_t)1 << 20)

struct file_options file_options = {.bytes = FILE_DEFAULT, .seconds = 2};

static char path[4096];
static volatile uint64_t sink;

static void remove_file(void)
{
	unlink(path);
}

static int fill(int fd)
{
	uint64_t *chunk = malloc(CHUNK), state = BENCH_SEED;
	int r = chunk ? 0 : -ENOMEM;

	for (int64_t done = 0; r == 0 && done < file_options.bytes;) {
		int64_t left = file_options.bytes - done;
		size_t size = left < (int64_t)CHUNK ? (size_t)left : CHUNK;
		for (size_t i = 0; i < CHUNK / sizeof(*chunk); i++)
			chunk[i] = bench_random(&state);
		ssize_t written = write(fd, chunk, size);
		if (written <= 0)
			r = written < 0 ? -errno : -EIO;
		else
			done += written;
	}
	free(chunk);
	/* What is dirty would be written while O_DIRECT reads. */
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int create(void)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	if (file_options.path) {
		snprintf(path, sizeof(path), "%s", file_options.path);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			return 0;
	} else {
		snprintf(path, sizeof(path), "%s/knit-bench-XXXXXX",
		         folder && *folder ? folder : "/var/tmp");
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			atexit(remove_file);
	}
	if (fd < 0)
		return -errno;
	int r = fill(fd);
	close(fd);
	if (r < 0)
		remove_file();
	return r;
}

int file_prepare(void)
{
	int r = create();

	if (r < 0)
		fprintf(stderr, "knit-bench: %s: %s\n", path, strerror(-r));
	return r;
}

/* Into the page cache; what is there already is only looked at. */
static int warm_up(int fd)
{
	char *chunk = malloc(CHUNK);
	ssize_t size;

	if (!chunk)
		return -ENOMEM;
	while ((size = read(fd, chunk, CHUNK)) > 0)
		sink = (uint64_t)chunk[size - 1];
	free(chunk);
	return size < 0 ? -errno : 0;
}

static int open_direct(int *ret_fd)
{
	struct statfs system;

	/* It takes the flag, and reads from the page cache all the same. */
	if (statfs(path, &system) == 0 && system.f_type == TMPFS_MAGIC)
		return bench_skip("the file is on tmpfs, which has nothing but the page cache");
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	if (*ret_fd < 0)
		return errno == EINVAL ? bench_skip("the file system has no O_DIRECT") : -errno;
	return 0;
}

int file_begin(struct file *file, bool is_direct)
{
	struct stat status;
	void *buffers;
	int r;

	*file = (struct file){.random_state = BENCH_SEED};
	r = posix_memalign(&buffers, FILE_BLOCK, (size_t)FILE_DEPTH * FILE_BLOCK);
	if (r)
		return -r;
	file->buffers = buffers;
	if (is_direct) {
		r = open_direct(&file->fd);
	} else {
		file->fd = open(path, O_RDONLY | O_CLOEXEC);
		r = file->fd < 0 ? -errno : warm_up(file->fd);
	}
	if (r != 0)
		return r;
	if (fstat(file->fd, &status) < 0)
		return -errno;
	file->blocks = (uint64_t)status.st_size / FILE_BLOCK;
	if (file->blocks == 0)
		return bench_skip("the file has less than a block");
	/* Some file systems open with O_DIRECT and refuse the read. */
	if (is_direct && pread(file->fd, buffers, FILE_BLOCK, 0) != FILE_BLOCK)
		return bench_skip("the file system refuses O_DIRECT reads of 4 KiB");
	file->begun_cpu_ns = bench_cpu_ns();
	file->begun_ns = bench_now_ns();
	file->end_ns = file->begun_ns + (uint64_t)(file_options.seconds * 1e9);
	return 0;
}

double file_end(struct file *file)
{
	uint64_t cpu_ns = bench_cpu_ns() - file->begun_cpu_ns;
	uint64_t wall_ns = bench_now_ns() - file->begun_ns;

	sink = file->sum;
	bench_note_rate((double)file->reads / ((double)wall_ns / 1e9));
	close(file->fd);
	free(file->buffers);
	return (double)cpu_ns / (double)file->reads / 1000;
}

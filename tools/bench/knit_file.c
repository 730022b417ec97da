/* SPDX-License-Identifier: MIT */
/* knit_file.c - W11: as many tasks as the references have reads in flight, each reading blocks at
 * random places until the time is over. */
#include "file.h"
#include "knit_rows.h"

/* Longer than eight reads take, so that it is eight that end the wait, as with the bare ring that
 * waits for so many. */
#define MIN_WAIT (500 * KNIT_US)

struct reader {
	struct file *file;
	char *buffer;
};

/* All the readers look at one time, which the first of each pass would have read anyway: the
 * bare ring, too, reads the clock once for all that completed together. */
static bool is_over(const struct file *file)
{
	return (uint64_t)knit_loop_time(NULL) >= file->end_ns;
}

static intptr_t read_blocks(void *arg)
{
	struct reader *reader = arg;
	struct file *file = reader->file;

	while (!is_over(file)) {
		intptr_t size = knit_read(file->fd, reader->buffer, FILE_BLOCK,
		                          (int64_t)file_next_offset(file));
		must(size);
		if (size != FILE_BLOCK)
			return -EIO;
		file_consume(file, reader->buffer);
	}
	return 0;
}

static intptr_t read_main(void *arg)
{
	struct file *file = arg;
	struct reader readers[FILE_DEPTH];
	knit_task *tasks[FILE_DEPTH];
	intptr_t outcomes[FILE_DEPTH];

	for (int i = 0; i < FILE_DEPTH; i++) {
		readers[i] = (struct reader){file, file->buffers + i * FILE_BLOCK};
		tasks[i] = knit_create_task(read_blocks, &readers[i]);
	}
	return knit_gather(tasks, FILE_DEPTH, outcomes);
}

int knit_file_read(const struct workload *workload, double *ret_value)
{
	struct file file;
	int r = file_begin(&file, workload->argument & KNIT_FILE_DIRECT);

	if (r != 0)
		return r;
	if (workload->argument & KNIT_FILE_MIN_WAIT)
		must(knit_run(read_main, &file, .min_wait = MIN_WAIT, .min_complete = 8));
	else
		must(knit_run(read_main, &file));
	*ret_value = file_end(&file);
	return 0;
}

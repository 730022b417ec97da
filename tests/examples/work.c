/* SPDX-License-Identifier: MIT */
/* work.c - a task that returns something, awaited: the smallest program. */
#include <knit.h>
#include <stdio.h>

static intptr_t work(void *arg)
{
	(void)arg;
	return (intptr_t) "done";
}

static intptr_t run(void *arg)
{
	knit_task *task = knit_create_task(work, arg);
	intptr_t outcome = knit_await(task);

	if (knit_is_error(outcome))
		return outcome;
	printf("%s\n", (const char *)knit_pointer(outcome));
	return 0;
}

int main(void)
{
	intptr_t outcome = knit_run(run, NULL);

	if (knit_is_error(outcome))
		fprintf(stderr, "%s\n", knit_error_message(outcome));
	return outcome < 0;
}

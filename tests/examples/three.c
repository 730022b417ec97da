/* SPDX-License-Identifier: MIT */
/* three.c - three tasks that sleep side by side, awaited in the order of their start.
 *
 * With --virtual the loop's clock is virtual: the same output, and no time passes. */
#include <knit.h>
#include <stdio.h>
#include <string.h>

struct sleeper {
	const char *name;
	int64_t delay; /* ns */
};

static intptr_t sleep_and_tell(void *arg)
{
	const struct sleeper *sleeper = arg;
	int r;

	printf("%s: started\n", sleeper->name);
	r = knit_sleep(sleeper->delay);
	if (r < 0)
		return r;
	printf("%s: finished\n", sleeper->name);
	return 0;
}

static intptr_t run(void *arg)
{
	static struct sleeper sleepers[] = {
	        {"a", 1 * KNIT_S},
	        {"b", KNIT_S / 2},
	        {"c", 3 * KNIT_S / 2},
	};
	knit_task *tasks[3];
	intptr_t outcome = 0;

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = knit_create_task(sleep_and_tell, &sleepers[i]);
	for (int i = 0; i < 3; i++) {
		intptr_t r = knit_await(tasks[i]);

		if (knit_is_error(r))
			outcome = r;
	}
	return outcome;
}

int main(int argc, char **argv)
{
	int clock = KNIT_CLOCK_MONOTONIC;
	intptr_t outcome;

	if (argc > 1 && !strcmp(argv[1], "--virtual"))
		clock = KNIT_CLOCK_VIRTUAL;
	outcome = knit_run(run, NULL, .clock = clock);
	if (knit_is_error(outcome))
		fprintf(stderr, "%s\n", knit_error_message(outcome));
	return outcome < 0;
}

/* SPDX-License-Identifier: MIT */
/* loops.c - several threads, each with a loop, that hand callbacks and coroutines to each other.
 *
 * Three threads serve. The main thread's loop asks each for a square (a coroutine that runs over
 * there and is awaited here), and has the same three pass a ball round (callbacks, each posted by
 * the loop before). A plain thread without a loop can ask too: see ask(). */
#include <knit.h>
#include <pthread.h>
#include <stdio.h>

#define LOOPS 3

static knit_loop *loops[LOOPS]; /* one reference each, main's */
static pthread_t threads[LOOPS];

/* ---- what the loops do for each other ---- */

static intptr_t square(void *arg)
{
	int number = *(int *)arg;
	int r = knit_sleep(0); /* it may suspend, as any coroutine */

	return r < 0 ? r : number * number;
}

struct ball {
	int passes; /* written by one loop after another */
	knit_concurrent_future *home;
};

static void pass_on(void *arg)
{
	struct ball *ball = arg;
	int r;

	ball->passes++;
	if (ball->passes == 2 * LOOPS) {
		(void)knit_concurrent_future_set_result(ball->home, ball->passes);
		return;
	}
	r = knit_loop_call_soon_threadsafe(loops[ball->passes % LOOPS], pass_on, ball);
	if (r < 0)
		(void)knit_concurrent_future_set_result(ball->home, r);
}

/* ---- the main loop ---- */

static intptr_t play(void)
{
	struct ball ball = {.home = knit_concurrent_future_new()};
	intptr_t passes;
	int r;

	if (!ball.home)
		return -ENOMEM;
	r = knit_loop_call_soon_threadsafe(loops[0], pass_on, &ball);
	passes = r < 0 ? r : knit_await(knit_wrap_future(ball.home));
	knit_concurrent_future_unref(ball.home);
	if (knit_is_error(passes))
		return passes;
	printf("the ball was passed %d times\n", (int)passes);
	return 0;
}

static intptr_t run(void *arg)
{
	(void)arg;
	for (int i = 0; i < LOOPS; i++) {
		int number = i + 2;
		intptr_t result = knit_run_on(loops[i], square, &number);

		if (knit_is_error(result))
			return result;
		printf("loop %d: %d squared is %d\n", i, number, (int)result);
	}
	return play();
}

/* ---- the threads ---- */

static void *serve(void *loop)
{
	int r = knit_loop_run_forever(loop);

	if (r < 0)
		fprintf(stderr, "a loop failed: %s\n", knit_strerror(r));
	(void)knit_loop_close(loop);
	return NULL;
}

/* A thread without a loop asks a loop, and blocks for the answer. */
static intptr_t ask(knit_loop *loop, int number)
{
	knit_concurrent_future *answer = knit_run_coroutine_threadsafe(loop, square, &number);
	intptr_t result;

	if (!answer)
		return -errno;
	result = knit_concurrent_future_result(answer, KNIT_FOREVER);
	knit_concurrent_future_unref(answer);
	return result;
}

int main(void)
{
	intptr_t outcome = 0;
	int started = 0;

	while (started < LOOPS && outcome == 0) {
		loops[started] = knit_loop_new();
		if (!loops[started])
			outcome = -errno;
		else if (pthread_create(&threads[started], NULL, serve, loops[started]))
			outcome = -EAGAIN;
		else
			started++;
	}
	if (outcome == 0)
		outcome = knit_run(run, NULL);
	if (outcome == 0)
		outcome = ask(loops[0], 12);
	if (knit_is_error(outcome))
		fprintf(stderr, "%s\n", knit_error_message(outcome));
	else
		printf("a plain thread: 12 squared is %d\n", (int)outcome);
	for (int i = 0; i < started; i++) {
		(void)knit_loop_stop_threadsafe(loops[i]);
		pthread_join(threads[i], NULL);
		knit_loop_unref(loops[i]);
	}
	return knit_is_error(outcome);
}

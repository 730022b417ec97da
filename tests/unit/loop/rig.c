/* SPDX-License-Identifier: MIT */
/* rig.c - see rig.h. */
#include "unit/loop/rig.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Far longer than anything here takes, under any tool. */
#define GUARD (240 * KNIT_S)

int64_t rig_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
}

void rig_until_at(const char *file, int line, bool (*condition)(void *), void *arg)
{
	int64_t guard = rig_now() + GUARD;

	while (!condition(arg)) {
		cr_assert_lt(rig_now(), guard, "%s:%d: it does not happen", file, line);
		sched_yield();
	}
}

bool rig_asleep(void *loop)
{
	struct knit_loop *asked = loop;

	return atomic_load(&asked->inbox.word) == KN_INBOX_SLEEPING;
}

bool rig_is_set(void *value)
{
	return atomic_load((atomic_int *)value) != 0;
}

void rig_block(int64_t ns)
{
	int64_t end = rig_now() + ns;

	while (rig_now() < end)
		;
}

/* ---- callbacks ---- */

char rig_trace[4096];

void rig_count(void *counter)
{
	++*(int *)counter;
}

void rig_stop(void *ignored)
{
	(void)ignored;
	knit_loop_stop(knit_get_running_loop());
}

void rig_note(void *text)
{
	size_t used = strlen(rig_trace);

	snprintf(rig_trace + used, sizeof(rig_trace) - used, "%s ", (const char *)text);
}

void rig_trace_reset(void)
{
	rig_trace[0] = '\0';
}

void rig_ignore_exception(knit_loop *loop, const knit_exception_context *context, void *arg)
{
	(void)loop;
	(void)context;
	(void)arg;
}

void rig_count_exception(knit_loop *loop, const knit_exception_context *context, void *counter)
{
	(void)loop;
	(void)context;
	rig_count(counter);
}

/* ---- signals ---- */

atomic_int rig_action_calls;

static void count_action(int signum)
{
	(void)signum;
	atomic_fetch_add(&rig_action_calls, 1);
}

void rig_set_action(int signum)
{
	struct sigaction sa = {.sa_handler = count_action};

	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGHUP);
	cr_assert_eq(sigaction(signum, &sa, NULL), 0);
}

bool rig_is_action(int signum)
{
	struct sigaction sa;

	cr_assert_eq(sigaction(signum, NULL, &sa), 0);
	return sa.sa_handler == count_action && sigismember(&sa.sa_mask, SIGHUP) == 1;
}

/* ---- threads ---- */

pthread_t rig_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, body, arg);

	cr_assert_eq(error, 0, "pthread_create: %s", strerror(error));
	return thread;
}

void *rig_join(pthread_t thread)
{
	void *returned;
	int error = pthread_join(thread, &returned);

	cr_assert_eq(error, 0, "pthread_join: %s", strerror(error));
	return returned;
}

void *rig_on_thread(void *(*body)(void *), void *arg)
{
	return rig_join(rig_thread(body, arg));
}

static void *worker_body(void *arg)
{
	struct worker *worker = arg;
	knit_loop *loop = knit_loop_new_with(&worker->options);

	worker->loop = knit_loop_ref(loop);
	sem_post(&worker->started);
	if (!loop)
		return NULL;
	knit_loop_set_exception_handler(loop, rig_count_exception, &worker->reports);
	worker->run = knit_loop_run_forever(loop);
	worker->close = knit_loop_close(loop);
	knit_loop_unref(loop);
	return NULL;
}

void worker_start(struct worker *worker)
{
	worker->options.size = sizeof(worker->options);
	sem_init(&worker->started, 0, 0);
	worker->thread = rig_thread(worker_body, worker);
	while (sem_wait(&worker->started) < 0)
		cr_assert_eq(errno, EINTR);
	cr_assert_not_null(worker->loop);
}

void worker_join(struct worker *worker)
{
	/* Refused if it was stopped and closed by other means. */
	(void)knit_loop_stop_threadsafe(worker->loop);
	rig_join(worker->thread);
	sem_destroy(&worker->started);
}

void worker_stop(struct worker *worker)
{
	worker_join(worker);
	cr_assert_eq(worker->run, 0, "run: %s", knit_strerror(worker->run));
	cr_assert_eq(worker->close, 0, "close: %s", knit_strerror(worker->close));
	worker->loop = knit_loop_unref(worker->loop);
}

/* ---- processes ---- */

#define CHILD_DONE -1

/* Shared with the children: where one failed, or CHILD_DONE. */
static atomic_int *child_note;

void child_failed(int line)
{
	atomic_store(child_note, line);
	_exit(1);
}

void child_done(void)
{
	atomic_store(child_note, CHILD_DONE);
	_exit(0);
}

pid_t rig_fork(void)
{
	pid_t pid;

	if (!child_note)
		child_note = mmap(NULL, sizeof(*child_note), PROT_READ | PROT_WRITE,
		                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq((void *)child_note, MAP_FAILED);
	atomic_store(child_note, 0);
	fflush(NULL);
	pid = fork();
	cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
	if (pid == 0)
		alarm(200); /* rather a failure than a hang */
	return pid;
}

void rig_wait_child_at(const char *file, int line, pid_t pid)
{
	int status = 0, note;

	while (waitpid(pid, &status, 0) < 0)
		cr_assert_eq(errno, EINTR, "%s:%d: waitpid: %s", file, line, strerror(errno));
	note = atomic_load(child_note);
	cr_assert_eq(note, CHILD_DONE, "%s:%d: the child failed in line %d", file, line, note);
	cr_assert(status == 0 || rig_on_valgrind(), "%s:%d: the child ended with status %x", file,
	          line, (unsigned)status);
}

bool rig_on_valgrind(void)
{
	return test_scale(0, 0, 0, 1) != 0;
}

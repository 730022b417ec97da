/* SPDX-License-Identifier: MIT */
/* executor.c - a pool of threads for functions that block.
 *
 * A lock, a queue, a condition. A thread that does not run a function is idle, from the moment
 * it is started on; so there is work for one thread more whenever the queue is longer than the
 * idle ones are many.
 *
 * Three counts. @refs are the users'. @holds are one for all users and one for each job whose
 * answer has not been taken; at the last one nothing is left to do, and the threads are joined.
 * That happens on the thread of a user or a loop, as a rule; where a closed loop has left its
 * jobs behind it is one of the executor's own, which cannot join itself: then all are detached,
 * and end by themselves. @memory keeps the struct for those.
 *
 * A fork() leaves the child the struct without its threads, and perhaps locked: an executor that
 * was made before the last fork() is closed, and of it only the memory is used. */
#include "loop/executor.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"

#define THREADS_MAX   32
#define THREADS_SPARE 4 /* beyond the CPUs: such threads mostly wait */

struct thread {
	struct kn_list link; /* executor->threads */
	pthread_t id;
};

struct knit_executor {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* there is work, or none will come any more */
	/* under the lock */
	struct kn_list queue;   /* of jobs */
	struct kn_list threads; /* to be joined */
	unsigned queued;
	unsigned running; /* threads that have not ended */
	unsigned idle;    /* of these, those that run no function */
	unsigned number;  /* of the last thread */
	bool ending;
	/* any time */
	atomic_uint refs, holds, memory;
	/* constant */
	unsigned threads_max, queue_max;
	unsigned generation;
	char name[16]; /* what the kernel keeps of a thread's name */
};

int (*kn_executor_start_thread)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                                void *) = pthread_create;

static __thread struct knit_executor *own; /* whose thread this is */

/* ---- forks --------------------------------------------------------------------------- */

static unsigned generation; /* of the process: how many forks led to it */
static int fork_error;

static void after_fork(void)
{
	generation++;
}

static void watch_forks(void)
{
	fork_error = pthread_atfork(NULL, NULL, after_fork);
}

static bool is_ours(const struct knit_executor *executor)
{
	return executor->generation == generation;
}

/* ---- making one ---------------------------------------------------------------------- */

static unsigned default_threads(void)
{
	cpu_set_t set;
	long cpus;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cpus = CPU_COUNT(&set);
	else
		cpus = sysconf(_SC_NPROCESSORS_ONLN); /* more than the set has room for */
	if (cpus < 1)
		cpus = 1;
	return cpus > THREADS_MAX - THREADS_SPARE ? THREADS_MAX : (unsigned)cpus + THREADS_SPARE;
}

static int init_lock(struct knit_executor *executor)
{
	int r = pthread_mutex_init(&executor->lock, NULL);

	if (r)
		return -r;
	r = pthread_cond_init(&executor->changed, NULL);
	if (r)
		pthread_mutex_destroy(&executor->lock);
	return -r;
}

static struct knit_executor *make(const knit_executor_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct knit_executor *executor = kn_calloc(1, sizeof(*executor));

	pthread_once(&once, watch_forks);
	if (!executor || fork_error || init_lock(executor) < 0) {
		kn_free(executor);
		return NULL;
	}
	kn_list_init(&executor->queue);
	kn_list_init(&executor->threads);
	atomic_init(&executor->refs, 1);
	atomic_init(&executor->holds, 1);
	atomic_init(&executor->memory, 1);
	executor->threads_max = options->threads ? options->threads : default_threads();
	executor->queue_max = options->queue;
	executor->generation = generation;
	snprintf(executor->name, sizeof(executor->name), "%s",
	         options->name ? options->name : "knit");
	return executor;
}

knit_executor *knit_executor_new_with(const knit_executor_options *given)
{
	knit_executor_options options;
	struct knit_executor *executor;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r < 0) {
		errno = -r;
		return NULL;
	}
	executor = make(&options);
	if (!executor)
		errno = ENOMEM;
	return executor;
}

knit_executor *(knit_executor_new)(void)
{
	return knit_executor_new(.name = NULL);
}

/* ---- ending it ----------------------------------------------------------------------- */

static void memory_unref(struct knit_executor *executor)
{
	if (atomic_fetch_sub_explicit(&executor->memory, 1, memory_order_acq_rel) > 1)
		return;
	pthread_cond_destroy(&executor->changed);
	pthread_mutex_destroy(&executor->lock);
	kn_free(executor);
}

/* In the child of a fork(): neither the lock nor the threads mean anything. */
static void forget(struct knit_executor *executor)
{
	kn_list_for_each_safe (node, &executor->threads)
		kn_free(kn_list_entry(node, struct thread, link));
	kn_free(executor);
}

/* Nothing is queued or runs, and nothing will. */
static void end_threads(struct knit_executor *executor)
{
	struct thread *thread;

	pthread_mutex_lock(&executor->lock);
	executor->ending = true;
	pthread_cond_broadcast(&executor->changed);
	pthread_mutex_unlock(&executor->lock);
	while ((thread = kn_list_first(&executor->threads, struct thread, link))) {
		kn_list_del(&thread->link);
		if (own == executor)
			pthread_detach(thread->id);
		else
			pthread_join(thread->id, NULL);
		kn_free(thread);
	}
	memory_unref(executor);
}

static void let_go(struct knit_executor *executor)
{
	if (atomic_fetch_sub_explicit(&executor->holds, 1, memory_order_acq_rel) > 1)
		return;
	if (is_ours(executor))
		end_threads(executor);
	else
		forget(executor);
}

knit_executor *knit_executor_ref(knit_executor *executor)
{
	if (executor)
		atomic_fetch_add_explicit(&executor->refs, 1, memory_order_relaxed);
	return executor;
}

knit_executor *knit_executor_unref(knit_executor *executor)
{
	if (executor && atomic_fetch_sub_explicit(&executor->refs, 1, memory_order_acq_rel) == 1)
		let_go(executor);
	return NULL;
}

/* ---- in its threads ------------------------------------------------------------------ */

/* After this the job may be gone. */
static void answer(struct kn_job *job)
{
	struct knit_executor *executor = job->executor;
	struct knit_loop *loop = job->loop;

	if (kn_loop_post(loop, &job->back) == 0)
		return;
	job->orphaned(job);
	let_go(executor);
	kn_loop_let_go(loop);
}

static struct kn_job *take_job(struct knit_executor *executor)
{
	struct kn_job *job = kn_list_first(&executor->queue, struct kn_job, link);

	if (job) {
		kn_list_del(&job->link);
		executor->queued--;
	}
	return job;
}

static int start_thread(struct knit_executor *executor);

/* The function ended its thread. Whatever waits needs another, or an answer. */
static void thread_was_ended(void *arg)
{
	struct kn_job *job = arg, *next;
	struct knit_executor *executor = job->executor;
	int r = 0;

	job->outcome = -EOWNERDEAD;
	pthread_mutex_lock(&executor->lock);
	executor->running--;
	if (executor->queued > executor->idle)
		r = start_thread(executor);
	while (r < 0 && executor->running == 0 && (next = take_job(executor))) {
		next->outcome = r;
		pthread_mutex_unlock(&executor->lock);
		answer(next);
		pthread_mutex_lock(&executor->lock);
	}
	pthread_mutex_unlock(&executor->lock);
	answer(job);
	memory_unref(executor);
}

static void leave_vars(void *frame)
{
	kn_vars_leave(frame);
}

static void call_function(struct kn_job *job)
{
	struct kn_vars_frame frame;

	kn_message_record(NULL); /* what is known of an earlier failure */
	kn_vars_enter(&frame, job->vars);
	pthread_cleanup_push(thread_was_ended, job);
	pthread_cleanup_push(leave_vars, &frame);
	job->outcome = job->function(job->arg);
	pthread_cleanup_pop(true);
	pthread_cleanup_pop(false);
	/* The one reference goes to the loop's thread, and none stays. */
	job->message = kn_message_ref(kn_message_recorded(job->outcome));
	kn_message_record(NULL);
	answer(job);
}

static void set_name(const struct knit_executor *executor, unsigned number)
{
	char name[16], digits[12];
	int length = snprintf(digits, sizeof(digits), "-%u", number);

	snprintf(name, sizeof(name), "%.*s%s", (int)sizeof(name) - 1 - length, executor->name,
	         digits);
	pthread_setname_np(pthread_self(), name);
}

static void *thread_main(void *arg)
{
	struct knit_executor *executor = arg;
	struct kn_job *job;
	unsigned number;

	own = executor;
	pthread_mutex_lock(&executor->lock);
	number = ++executor->number;
	set_name(executor, number);
	for (;;) {
		job = take_job(executor);
		if (job) {
			executor->idle--;
			pthread_mutex_unlock(&executor->lock);
			call_function(job);
			pthread_mutex_lock(&executor->lock);
			executor->idle++;
		} else if (executor->ending) {
			break;
		} else {
			pthread_cond_wait(&executor->changed, &executor->lock);
		}
	}
	executor->running--;
	executor->idle--;
	pthread_mutex_unlock(&executor->lock);
	memory_unref(executor);
	return NULL;
}

/* Locked. The thread inherits that all signals are blocked: they are for others. */
static int start_thread(struct knit_executor *executor)
{
	struct thread *thread;
	sigset_t all, before;
	int r;

	if (executor->running == executor->threads_max)
		return -EAGAIN;
	thread = kn_malloc(sizeof(*thread));
	if (!thread)
		return -ENOMEM;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add_explicit(&executor->memory, 1, memory_order_relaxed);
	r = kn_executor_start_thread(&thread->id, NULL, thread_main, executor);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r) {
		atomic_fetch_sub_explicit(&executor->memory, 1, memory_order_relaxed);
		kn_free(thread);
		return -r;
	}
	kn_list_add_tail(&executor->threads, &thread->link);
	executor->running++;
	executor->idle++;
	return 0;
}

/* ---- on the loop's thread ------------------------------------------------------------ */

/* The default one, made at the first need. */
static int get_default(struct knit_loop *loop, struct knit_executor **ret)
{
	if (loop->executor_shut)
		return -KNIT_ECLOSED;
	if (!loop->executor)
		loop->executor = make(&(knit_executor_options){.threads = 0});
	*ret = loop->executor;
	return *ret ? 0 : -ENOMEM;
}

/* Where no thread can be started the job waits for those that there are. */
static int enqueue(struct knit_executor *executor, struct kn_job *job)
{
	int r = 0;

	pthread_mutex_lock(&executor->lock);
	kn_list_add_tail(&executor->queue, &job->link);
	executor->queued++;
	if (executor->queued > executor->idle)
		r = start_thread(executor);
	if (executor->running > 0)
		r = 0;
	if (executor->queue_max && executor->queued > executor->idle + executor->queue_max)
		r = -EAGAIN;
	if (r < 0) {
		kn_list_del(&job->link);
		executor->queued--;
	} else {
		pthread_cond_signal(&executor->changed);
	}
	pthread_mutex_unlock(&executor->lock);
	return r;
}

int kn_job_submit(struct knit_loop *loop, struct knit_executor *executor, struct kn_job *job)
{
	int r = 0;

	job->by_default = !executor;
	if (!executor)
		r = get_default(loop, &executor);
	if (r < 0)
		return r;
	if (!is_ours(executor))
		return -KNIT_ECLOSED;
	kn_list_init(&job->link);
	kn_list_init(&job->back.ready.link);
	job->loop = loop;
	job->executor = executor;
	job->outcome = -KNIT_ECANCELLED;
	job->message = NULL;
	kn_loop_hold(loop);
	atomic_fetch_add_explicit(&executor->holds, 1, memory_order_relaxed);
	loop->remote++;
	loop->default_jobs += job->by_default;
	r = enqueue(executor, job);
	if (r < 0)
		kn_job_end(job);
	return r;
}

bool kn_job_withdraw(struct kn_job *job)
{
	struct knit_executor *executor = job->executor;
	bool waited;

	pthread_mutex_lock(&executor->lock);
	waited = !kn_list_empty(&job->link);
	if (waited) {
		kn_list_del(&job->link);
		executor->queued--;
	}
	pthread_mutex_unlock(&executor->lock);
	return waited;
}

void kn_job_end(struct kn_job *job)
{
	struct knit_loop *loop = job->loop;

	loop->remote--;
	loop->default_jobs -= job->by_default;
	let_go(job->executor);
	kn_loop_let_go(loop);
}

int knit_loop_set_default_executor(knit_loop *loop, knit_executor *executor)
{
	struct knit_executor *before;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_usable(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return r;
	if (!executor)
		return kn_fail(-EINVAL);
	if (loop->executor_shut)
		return kn_fail(-KNIT_ECLOSED);
	before = loop->executor;
	loop->executor = knit_executor_ref(executor);
	knit_executor_unref(before);
	return 0;
}

void kn_executor_drop_default(struct knit_loop *loop)
{
	loop->executor_shut = true;
	loop->executor = knit_executor_unref(loop->executor);
}

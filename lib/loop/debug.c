/* SPDX-License-Identifier: MIT */
/* debug.c - debug mode: where things were created, and what took too long. */
#include "loop/debug.h"
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/alloc.h"
#include "base/error.h"
#include "knit/debug.h"

#define FRAMES_MAX      24
#define SLOW_BY_DEFAULT (100 * KNIT_MS)

struct kn_origin {
	unsigned refs;
	int count;
	void *frames[];
};

/* ---- where something was created ----------------------------------------------------- */

struct kn_origin *kn_origin_here(void)
{
	void *frames[FRAMES_MAX];
	int count = backtrace(frames, FRAMES_MAX);
	struct kn_origin *origin;

	/* The first is this function. */
	count = count > 1 ? count - 1 : 0;
	origin = kn_malloc(sizeof(*origin) + (size_t)count * sizeof(frames[0]));
	if (!origin)
		return NULL;
	origin->refs = 1;
	origin->count = count;
	memcpy(origin->frames, frames + 1, (size_t)count * sizeof(frames[0]));
	return origin;
}

struct kn_origin *kn_origin_ref(struct kn_origin *origin)
{
	if (origin)
		origin->refs++;
	return origin;
}

void kn_origin_drop(struct kn_origin *origin)
{
	if (--origin->refs == 0)
		kn_free(origin);
}

/* One frame: a function that the linker knows, or a place in a file. */
static int print_frame(char *buffer, size_t room, const char *between, void *frame)
{
	uintptr_t address = (uintptr_t)frame - 1; /* in the call, not behind it */
	const char *name;
	Dl_info info;

	if (!dladdr((void *)address, &info) || !info.dli_fname)
		return snprintf(buffer, room, "%s%p", between, frame);
	if (info.dli_sname)
		return snprintf(buffer, room, "%s%s+0x%zx", between, info.dli_sname,
		                (size_t)(address - (uintptr_t)info.dli_saddr));
	name = strrchr(info.dli_fname, '/');
	return snprintf(buffer, room, "%s%s+0x%zx", between, name ? name + 1 : info.dli_fname,
	                (size_t)(address - (uintptr_t)info.dli_fbase));
}

const char *kn_origin_print(const struct kn_origin *origin, char *buffer, size_t size)
{
	size_t used = 0;

	if (!origin)
		return NULL;
	buffer[0] = '\0';
	for (int i = 0; i < origin->count && used + 1 < size; i++) {
		int n = print_frame(buffer + used, size - used, i ? " < " : "", origin->frames[i]);

		used += n > 0 ? (size_t)n : 0;
	}
	return buffer;
}

/* ---- what took too long -------------------------------------------------------------- */

void kn_subject_callback(struct kn_subject *subject, uintptr_t callback, struct kn_origin *origin)
{
	snprintf(subject->what, sizeof(subject->what), "callback 0x%zx", (size_t)callback);
	subject->origin = kn_origin_ref(origin);
}

static void describe(struct knit_loop *loop, struct kn_ready *ready, struct kn_subject *subject)
{
	subject->origin = NULL;
	if (kn_callback_describe(ready, subject) || kn_post_describe(ready, subject) ||
	    kn_signal_describe(ready, subject) ||
	    (loop->describe_ready && loop->describe_ready(ready, subject)))
		return;
	kn_subject_callback(subject, (uintptr_t)ready->run, NULL);
}

/* The real time, whatever clock the loop has. */
static int64_t real_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * KNIT_S + t.tv_nsec;
}

static void report_slow(struct knit_loop *loop, const struct kn_subject *subject, int64_t took)
{
	char message[256], created[KN_ORIGIN_TEXT];
	knit_exception_context context = {.message = message};

	snprintf(message, sizeof(message), "Executing <%s> took %lld.%03d seconds", subject->what,
	         (long long)(took / KNIT_S), (int)(took % KNIT_S / KNIT_MS));
	context.created = kn_origin_print(subject->origin, created, sizeof(created));
	kn_loop_report(loop, &context);
}

void kn_loop_run_watched(struct knit_loop *loop, struct kn_ready *ready)
{
	struct kn_subject subject;
	int64_t begin, took;

	describe(loop, ready, &subject);
	begin = real_time();
	ready->run(ready);
	/* In the child of a fork() the loop is the parent's. */
	if (kn_likely(kn_loop_check(loop) == 0)) {
		took = real_time() - begin;
		if (kn_unlikely(took >= loop->slow_callback) && loop->debug)
			report_slow(loop, &subject, took);
	}
	kn_origin_unref(subject.origin);
}

/* ---- switching it on ----------------------------------------------------------------- */

static void set(struct knit_loop *loop, bool debug)
{
	if (loop->debug == debug)
		return;
	loop->debug = debug;
	/* Each step is to be measured by itself: tasks do not switch to each other. */
	loop->indirect += debug ? 1 : -1u;
}

static bool wanted_by_environment(void)
{
	const char *value = secure_getenv("KNIT_DEBUG");

	return value && value[0] && strcmp(value, "0") != 0;
}

void kn_debug_init(struct knit_loop *loop, int wanted)
{
	loop->slow_callback = SLOW_BY_DEFAULT;
	set(loop, wanted > 0 || (wanted == 0 && wanted_by_environment()));
}

int knit_loop_set_debug(knit_loop *loop, bool debug)
{
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r == 0)
		set(loop, debug);
	return r;
}

bool knit_loop_get_debug(const knit_loop *loop)
{
	loop = kn_loop_or_running(loop);
	if (!loop)
		return false;
	kn_loop_demand(loop, __func__);
	return loop->debug;
}

int knit_loop_set_slow_callback_duration(knit_loop *loop, int64_t duration)
{
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r == 0 && duration < 0)
		r = -EINVAL;
	if (r == 0)
		loop->slow_callback = duration;
	return r;
}

int64_t knit_loop_get_slow_callback_duration(const knit_loop *loop)
{
	loop = kn_loop_or_running(loop);
	if (!loop)
		return -KNIT_ENOLOOP;
	if (kn_loop_check(loop) < 0)
		return -KNIT_EWRONGTHREAD;
	return loop->slow_callback;
}

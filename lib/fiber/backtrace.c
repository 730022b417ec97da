/* SPDX-License-Identifier: MIT */
/* backtrace.c - where a suspended fiber is.
 *
 * backtrace(3) knows one place to begin with: its caller. So it is called in a frame whose unwind
 * information lies, on purpose: it says that its caller is the suspended fiber. Nothing runs on
 * the fiber's stack, which may be full, and nothing of it is changed. */
#include <dlfcn.h>
#include <execinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "fiber/fiber.h"

#define FRAMES_MAX 32
#define FRAMES_OWN 8 /* of the functions here, and of what checking tools put before them */

struct view {
	void **frames;
	size_t room, count;
};

static void look(void *arg)
{
	struct view *view = arg;
	void *all[FRAMES_OWN + FRAMES_MAX];
	int count = backtrace(all, FRAMES_OWN + FRAMES_MAX), i = 0;

	while (i < count && all[i] != (const void *)kn_context_inspected)
		i++;
	for (i++; i < count && view->count < view->room; i++)
		view->frames[view->count++] = all[i];
}

size_t kn_fiber_backtrace(struct kn_fiber *fiber, void **frames, size_t room)
{
	struct view view = {.frames = frames, .room = room};

	if (!fiber->stack || !fiber->sp)
		return 0;
	if (kn_fiber_is_aside(fiber))
		kn_fiber_bring_back(fiber);
	kn_context_inspect(fiber->sp, look, &view);
	return view.count;
}

static int describe_frame(void *address, char *text, size_t size)
{
	Dl_info info;
	const char *file;

	/* A return address may be the first of the next function. */
	if (!dladdr((char *)address - 1, &info) || !info.dli_fname)
		return snprintf(text, size, "%p", address);
	if (info.dli_sname)
		return snprintf(text, size, "%s+0x%lx", info.dli_sname,
		                (unsigned long)((uintptr_t)address - (uintptr_t)info.dli_saddr));
	file = strrchr(info.dli_fname, '/');
	return snprintf(text, size, "%s(+0x%lx)", file ? file + 1 : info.dli_fname,
	                (unsigned long)((uintptr_t)address - (uintptr_t)info.dli_fbase));
}

void kn_fiber_describe(struct kn_fiber *fiber, char *text, size_t size)
{
	void *frames[FRAMES_MAX];
	size_t count = kn_fiber_backtrace(fiber, frames, FRAMES_MAX), used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		if (i > 0)
			used += (size_t)snprintf(text + used, size - used, " < ");
		if (used < size)
			used += (size_t)describe_frame(frames[i], text + used, size - used);
	}
}

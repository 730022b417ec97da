/* SPDX-License-Identifier: MIT */
/* scenes.h - each call that waits for the kernel, in a setting in which it waits: what the tests
 * of cancellation go through one by one. */
#ifndef TEST_IO_SCENES_H
#define TEST_IO_SCENES_H
#include "rig.h"

/* What one call needs. */
struct scene {
	struct rig_call call;
	int fds[4], count;
	struct rig_address at;
	knit_listener *listener; /* if the call is knit_listener_accept() */
	char buffer[8];
	size_t filled; /* bytes that stand in the way of a write */
};

struct kind {
	const char *name;
	/* Makes the scene: a call that would wait. */
	void (*set_up)(struct scene *scene);
	/* Lets the call succeed. */
	void (*ready)(struct scene *scene);
	/* What it returns then; of an accept, any descriptor. */
	intptr_t success;
	/* Fails the test unless what ready() gave is there once: @taken by the call, or still to
	 * be had. */
	void (*verify)(struct scene *scene, bool taken);
};

bool scene_succeeded(const struct kind *kind, const struct scene *scene);
/* Exactly one cancellation came out of the call, with this text. */
void scene_cancelled(const struct kind *kind, const struct scene *scene, const char *text);

/* Plays @body once with each kind of call, in a loop of its own. */
typedef void scene_play(const struct kind *kind, struct scene *scene);
void on_each_kind(scene_play *body);

#endif

/* SPDX-License-Identifier: MIT */
/* exception.c - the channel for what nobody else will see. */
#include "loop/loop.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int knit_loop_set_exception_handler(knit_loop *loop, knit_exception_handler *handler, void *arg)
{
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return r;
	loop->exception_handler = handler;
	loop->exception_arg = arg;
	return 0;
}

/* One line by one write(2), so that lines of several loops do not mix. */
void knit_loop_default_exception_handler(knit_loop *loop, const knit_exception_context *context,
                                         void *arg)
{
	char line[1024];
	int n;

	(void)loop;
	(void)arg;
	n = snprintf(line, sizeof(line) - 1, "knit: %s%s%s%s%s%s", context->message,
	             context->name ? ": task '" : "", context->name ? context->name : "",
	             context->name ? "'" : "", context->error ? ": " : "",
	             context->error ? context->error : "");
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	if (context->file && n < (int)sizeof(line) - 2) {
		int room = (int)sizeof(line) - 1 - n;
		int more = snprintf(line + n, (size_t)room, " (at %s:%d)", context->file,
		                    context->line);

		n += more < room ? more : room - 1;
	}
	if (context->created && n < (int)sizeof(line) - 2) {
		int room = (int)sizeof(line) - 1 - n;
		int more = snprintf(line + n, (size_t)room, " (created at %s)", context->created);

		n += more < room ? more : room - 1;
	}
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* there is nobody left to tell */
}

void kn_loop_report(struct knit_loop *loop, knit_exception_context *context)
{
	struct kn_vars **vars = NULL, **before = kn_self.vars;

	context->size = sizeof(*context);
	if (context->future && loop->vars_of)
		vars = loop->vars_of(context->future);
	/* Code of the loop's own, which is none of its callbacks. */
	if (!vars && loop->in_batch && kn_vars_here() == &kn_self.own_vars)
		vars = &loop->outer_vars;
	if (vars)
		kn_self.vars = vars;
	if (loop->exception_handler)
		loop->exception_handler(loop, context, loop->exception_arg);
	else
		knit_loop_default_exception_handler(loop, context, NULL);
	kn_self.vars = before;
}

int knit_loop_call_exception_handler(knit_loop *loop, const knit_exception_context *context)
{
	knit_exception_context copy;
	int r;

	loop = kn_loop_or_running(loop);
	r = loop ? kn_loop_check(loop) : -KNIT_ENOLOOP;
	if (r < 0)
		return r;
	if (!context || !context->message)
		return -EINVAL;
	copy = *context;
	kn_loop_report(loop, &copy);
	return 0;
}

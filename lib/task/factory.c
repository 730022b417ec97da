/* SPDX-License-Identifier: MIT */
/* factory.c - how the tasks of a loop are created: eagerly by default, or by a function of the
 * program's.
 *
 * A factory stands between every creator and knit_task_new(). While it runs, what it creates
 * does not go through it again, and does not start: the creator may have to register the task
 * first, and starts it then if it is an eager one. It may not suspend: the creator is in the middle
 * of something, and the others would find the factory at work. */
#include "task/task.h"

/* Why a task that a factory returned cannot be the new one, or 0. */
static int check_new(const knit_future *future, const struct knit_loop *loop)
{
	if (!future)
		return kn_self.create_error ? -kn_self.create_error : -EINVAL;
	if (kn_future_check(future) < 0 || future->loop != loop || !future->is_task ||
	    kn_future_is_done(future) || kn_task_of((knit_future *)future)->started ||
	    kn_task_of((knit_future *)future)->taken)
		return kn_fail(-EINVAL);
	return 0;
}

struct kn_task *kn_task_from_factory(struct knit_loop *loop, knit_coro *coro,
                                     const knit_task_options *options, unsigned references,
                                     int *error)
{
	knit_future *future;

	loop->in_factory = true;
	kn_self.create_error = 0;
	future = loop->task_factory(loop, coro, options, loop->task_factory_arg);
	loop->in_factory = false;
	*error = check_new(future, loop);
	if (*error < 0)
		return NULL;
	kn_task_of(future)->taken = true;
	future->refs += references;
	kn_future_release(future); /* the one that the factory got */
	return kn_task_of(future);
}

static int usable(knit_loop **loop)
{
	*loop = kn_loop_or_running(*loop);
	return *loop ? kn_loop_check(*loop) : -KNIT_ENOLOOP;
}

int knit_loop_set_task_factory(knit_loop *loop, knit_task_factory *factory, void *arg)
{
	int r = usable(&loop);

	if (r < 0)
		return r;
	loop->task_factory = factory;
	loop->has_factory = factory != NULL;
	loop->task_factory_arg = arg;
	return 0;
}

knit_task_factory *knit_loop_get_task_factory(const knit_loop *loop, void **ret_arg)
{
	if (ret_arg)
		*ret_arg = NULL;
	loop = kn_loop_or_running(loop);
	if (!loop)
		return NULL;
	kn_loop_demand(loop, __func__);
	if (ret_arg)
		*ret_arg = loop->task_factory_arg;
	return loop->task_factory;
}

int knit_loop_set_eager(knit_loop *loop, bool eager)
{
	int r = usable(&loop);

	if (r == 0)
		loop->eager = eager;
	return r;
}

bool knit_loop_get_eager(const knit_loop *loop)
{
	loop = kn_loop_or_running(loop);
	if (!loop)
		return false;
	kn_loop_demand(loop, __func__);
	return loop->eager;
}

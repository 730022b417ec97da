/* SPDX-License-Identifier: MIT */
/* group.h - a task group from the inside: see group.c. */
#ifndef KN_TASK_GROUP_H
#define KN_TASK_GROUP_H
#include "knit/group.h"
#include "task/scope.h"

struct kn_group {
	struct kn_scope scope;   /* first: whether it is entered or left is said there */
	struct kn_wait wait;     /* for the last child, in the exit */
	struct kn_list children; /* that are not done, each with a reference; by their creation */
	struct kn_list errors;   /* those that failed, each with a reference; by their end */
	struct kn_list *told;    /* the error that was told last; NULL: none */
	knit_future *parent;     /* counted; while there are errors of a group that was left */
	intptr_t body;           /* the body's error, or a cancellation during the wait; 0: none */
	struct kn_message *message; /* counted; that goes with it */
	bool aborting;              /* the children have been cancelled; there will be no more */
	bool exiting;               /* in the exit, or left */
	bool told_body;             /* the body's error was told last */
};

/* For a child that is about to be done: the group will learn of it in the next pass. */
void kn_group_child_ended(struct kn_task *child);
#endif

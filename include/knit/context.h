/* SPDX-License-Identifier: MIT */
/*
 * context.h - context variables: values that follow the control flow (contextvars).
 *
 * A context variable has a value in each context. A task gets a copy of its creator's context,
 * a callback one of the context in which it was registered: what they set, nobody else sees;
 * what is set later, they do not see. A copy costs one reference. Calling a coroutine directly
 * shares the context, and .context = shares a given one.
 *
 * A value is one word, a number or a pointer. With .value_free the library counts how many
 * contexts have it, and calls that when the last one is gone, on the thread that drops it.
 */
#ifndef KNIT_CONTEXT_H
#define KNIT_CONTEXT_H

#include <knit/loop.h>

KNIT_BEGIN_DECLS

typedef struct knit_contextvar knit_contextvar;

/* Keyword arguments of knit_contextvar_new(). */
typedef struct knit_contextvar_options {
	size_t size;                        /* sizeof(knit_contextvar_options); the macro sets it */
	const char *name;                   /* copied; may be NULL; the macro sets it */
	intptr_t default_value;             /* where it was not set; never freed */
	void (*value_free)(intptr_t value); /* when no context has a value any more: wherever that
	                                     * is, so it should do no more than free it */
	bool no_default;                    /* where it was not set, getting it fails */
} knit_contextvar_options;

/* What knit_contextvar_set() overwrote. It holds that value, so it is to be given to
 * knit_contextvar_reset() or knit_context_token_drop(). All zero: none, or used. */
typedef struct knit_context_token {
	void *opaque[3]; /* the library's */
} knit_context_token;

/* Makes a context variable, whose default is 0.
 *
 * Units: none.  Returns: the variable.  Errors: NULL with errno = ENOMEM.
 * Thread: any.  Suspends: no.  Ownership: one reference for the caller; contexts that have a
 *   value of it keep it alive; @name is copied, and may be NULL. */
KNIT_API KNIT_NODISCARD knit_contextvar *knit_contextvar_new(const char *name);

/* As knit_contextvar_new(): with keyword arguments.
 *
 * Units: none.  Returns: the variable.  Errors: as knit_contextvar_new(), and EINVAL, E2BIG:
 *   @options is malformed.
 * Thread: any.  Suspends: no.  Ownership: as knit_contextvar_new(); @options is borrowed. */
KNIT_API KNIT_NODISCARD knit_contextvar *
knit_contextvar_new_with(const knit_contextvar_options *options);

/* Takes a reference.
 *
 * Units: none.  Returns: @var.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_contextvar *knit_contextvar_ref(knit_contextvar *var);

/* Drops a reference.
 *
 * Units: none.  Returns: NULL, always.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_contextvar *knit_contextvar_unref(knit_contextvar *var);

/* The name of @var.
 *
 * Units: none.  Returns: the name, "" if it has none.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: the variable's. */
KNIT_API const char *knit_contextvar_get_name(const knit_contextvar *var);

/* The value in the current context, or the default.
 *
 * Units: none.  Returns: the value.
 * Errors: -ENOENT: not set, and there is no default; -EINVAL: NULL.
 * Thread: any.  Suspends: no.  Ownership: the context's, until it is set anew there. */
KNIT_API intptr_t knit_contextvar_get(const knit_contextvar *var);

/* Sets the value in the current context.
 *
 * Units: none.  Returns: 0.  Errors: -ENOMEM; -EINVAL: NULL.
 * Thread: any.  Suspends: no.  Ownership: @value is the context's, unless the call fails;
 *   @ret_token, which may be NULL, gets the value of before. */
KNIT_API int knit_contextvar_set(knit_contextvar *var, intptr_t value,
                                 knit_context_token *ret_token);

/* Restores the value of before the set that @token came from.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_EINVALIDSTATE: it was used; -EINVAL: it came from another variable, or from a set
 *   in another context; -ENOMEM. The token stays as it was then.
 * Thread: any.  Suspends: no.  Ownership: consumes @token. */
KNIT_API int knit_contextvar_reset(knit_contextvar *var, knit_context_token *token);

/* Lets go of a token that will not be used. Used ones, and {0}, are harmless.
 *
 * Units: none.  Returns: nothing.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: consumes @token. */
KNIT_API void knit_context_token_drop(knit_context_token *token);

/* Copies the current context: one that is to be shared by .context =, or entered by
 * knit_context_run().
 *
 * Units: none.  Returns: the context.  Errors: NULL with errno = ENOMEM.
 * Thread: any.  Suspends: no.  Ownership: one reference for the caller. */
KNIT_API KNIT_NODISCARD knit_context *knit_copy_context(void);

/* Calls @coro(@arg) with @context as the current one: it sees the values there, and what it
 * sets stays there. In a task it may suspend.
 *
 * Units: none.  Returns: what @coro returns.
 * Errors: that; -EINVAL: NULL; -KNIT_EWRONGTHREAD: another thread is in @context, or has a task or
 *   callback that shares it.
 * Thread: any.  Suspends: as @coro does.  Ownership: @context and @arg are borrowed. */
KNIT_API intptr_t knit_context_run(knit_context *context, knit_coro *coro, void *arg);

/* Takes a reference.
 *
 * Units: none.  Returns: @context.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference more for the caller. */
KNIT_API knit_context *knit_context_ref(knit_context *context);

/* Drops a reference. A context may outlive the loops that it was used on.
 *
 * Units: none.  Returns: NULL, always.  Errors: none.
 * Thread: any.  Suspends: no.  Ownership: one reference less; NULL in is harmless. */
KNIT_API knit_context *knit_context_unref(knit_context *context);

KNIT_END_DECLS

/* Options are keyword arguments: knit_contextvar_new("user", .value_free = user_free) in C,
 * knit_contextvar_new("user", {.value_free = user_free}) in C++20. */
#ifndef __cplusplus
#define knit_contextvar_new(...)                             \
	knit_contextvar_new_with(&(knit_contextvar_options){ \
	        .size = sizeof(knit_contextvar_options), .name = __VA_ARGS__})
#else
/* As knit_contextvar_new_with(): the C++ form of the macro.
 *
 * Units: none.  Returns: the variable.  Errors: as knit_contextvar_new_with().
 * Thread: any.  Suspends: no.  Ownership: as knit_contextvar_new(). */
static inline knit_contextvar *knit_contextvar_new(const char *name,
                                                   knit_contextvar_options options)
{
	options.size = sizeof(options);
	options.name = name;
	return knit_contextvar_new_with(&options);
}
#endif
#endif

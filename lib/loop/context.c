/* SPDX-License-Identifier: MIT */
/* context.c - context variables and contexts.
 *
 * A value is boxed with its count and its variable, so that maps can share it and the last one
 * that has it can free it. A map is an array of values in the order of their variables'
 * addresses. It changes only while nobody else refers to it: a change makes a copy first unless
 * the context is its only owner. Whatever can fail comes before what is changed, and what is
 * dropped is dropped last, because a value_free may use variables itself. */
#include "loop/context.h"
#include <errno.h>
#include <string.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/options.h"
#include "loop/loop.h"

struct knit_contextvar {
	atomic_uint refs;
	bool no_default;
	intptr_t default_value;
	void (*value_free)(intptr_t value);
	char *name; /* owned */
};

struct value {
	atomic_uint refs;
	knit_contextvar *var; /* counted */
	intptr_t word;
};

struct map {
	struct kn_vars vars;
	uint32_t count, room;
	struct value *values[]; /* counted */
};

struct knit_context {
	struct kn_vars vars;
	_Atomic(struct kn_thread *) user; /* the thread that uses it; NULL: none */
	unsigned uses;                    /* the user's */
	struct map *map;                  /* counted; NULL: empty */
};

struct token {
	knit_contextvar *var;  /* counted */
	knit_context *context; /* counted */
	struct value *before;  /* counted; NULL: it was not set */
};

_Static_assert(sizeof(struct token) <= sizeof(knit_context_token), "the storage is too small");

/* ---- counts -------------------------------------------------------------------------- */

static void add_ref(atomic_uint *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* True: it was the last one. */
static bool drop_ref(atomic_uint *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void value_unref(struct value *value)
{
	if (!value || !drop_ref(&value->refs))
		return;
	if (value->var->value_free)
		value->var->value_free(value->word);
	knit_contextvar_unref(value->var);
	kn_free(value);
}

static void map_unref(struct map *map)
{
	if (!map || !drop_ref(&map->vars.refs))
		return;
	for (uint32_t i = 0; i < map->count; i++)
		value_unref(map->values[i]);
	kn_free(map);
}

/* ---- maps ---------------------------------------------------------------------------- */

/* The place of @var: where it is, or where it would be. */
static uint32_t place_of(const struct map *map, const knit_contextvar *var)
{
	uint32_t low = 0, high = map ? map->count : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if ((uintptr_t)map->values[middle]->var < (uintptr_t)var)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct value *find(const struct map *map, const knit_contextvar *var)
{
	uint32_t place = place_of(map, var);

	if (!map || place == map->count || map->values[place]->var != var)
		return NULL;
	return map->values[place];
}

/* The map of @context, which nobody else refers to and which has room for one more; or NULL. */
static struct map *writable(knit_context *context)
{
	struct map *old = context->map, *map;
	uint32_t count = old ? old->count : 0;

	if (old && count < old->room &&
	    atomic_load_explicit(&old->vars.refs, memory_order_acquire) == 1)
		return old;
	map = kn_malloc(sizeof(*map) + (2 * (size_t)count + 4) * sizeof(map->values[0]));
	if (!map)
		return NULL;
	atomic_init(&map->vars.refs, 1);
	map->vars.is_context = false;
	map->count = count;
	map->room = 2 * count + 4;
	for (uint32_t i = 0; i < count; i++) {
		map->values[i] = old->values[i];
		add_ref(&map->values[i]->refs);
	}
	context->map = map;
	map_unref(old);
	return map;
}

/* Puts @value (consumed; NULL: none) in the place of that of @var. What was there is the caller's
 * in *@ret_before. 0 or -ENOMEM. */
static int exchange(knit_context *context, const knit_contextvar *var, struct value *value,
                    struct value **ret_before)
{
	struct value *before = find(context->map, var);
	struct map *map;
	uint32_t place;

	*ret_before = NULL;
	if (!value && !before)
		return 0;
	map = writable(context);
	if (!map)
		return -ENOMEM;
	place = place_of(map, var);
	if (!before) {
		memmove(&map->values[place + 1], &map->values[place],
		        (map->count - place) * sizeof(map->values[0]));
		map->count++;
	}
	if (value) {
		map->values[place] = value;
	} else {
		map->count--;
		memmove(&map->values[place], &map->values[place + 1],
		        (map->count - place) * sizeof(map->values[0]));
	}
	*ret_before = before;
	return 0;
}

/* ---- contexts ------------------------------------------------------------------------ */

static struct map *map_of(struct kn_vars *vars)
{
	if (vars && vars->is_context)
		return kn_container_of(vars, knit_context, vars)->map;
	return vars ? kn_container_of(vars, struct map, vars) : NULL;
}

struct kn_vars *kn_vars_snapshot(struct kn_vars *vars)
{
	struct map *map = map_of(vars);

	if (!map)
		return NULL;
	add_ref(&map->vars.refs);
	return &map->vars;
}

/* False: another thread uses it. */
static bool begin_use(knit_context *context)
{
	struct kn_thread *user = NULL;

	if (!atomic_compare_exchange_strong_explicit(&context->user, &user, &kn_self,
	                                             memory_order_acquire, memory_order_relaxed) &&
	    user != &kn_self)
		return false;
	context->uses++;
	return true;
}

static void end_use(knit_context *context)
{
	if (--context->uses == 0)
		atomic_store_explicit(&context->user, NULL, memory_order_release);
}

int kn_vars_take(knit_context *context, struct kn_vars **ret)
{
	*ret = NULL;
	if (kn_likely(!context)) {
		*ret = kn_vars_capture();
		return 0;
	}
	if (!begin_use(context))
		return -KNIT_EWRONGTHREAD;
	*ret = &knit_context_ref(context)->vars;
	return 0;
}

struct kn_vars *kn_vars_again(struct kn_vars *vars)
{
	if (vars->is_context)
		kn_container_of(vars, knit_context, vars)->uses++;
	add_ref(&vars->refs);
	return vars;
}

void kn_vars_drop(struct kn_vars *vars)
{
	knit_context *context;

	if (!vars->is_context) {
		map_unref(kn_container_of(vars, struct map, vars));
		return;
	}
	context = kn_container_of(vars, knit_context, vars);
	end_use(context);
	knit_context_unref(context);
}

/* A context with a map, whose reference is consumed unless there is no memory. */
static knit_context *context_new(struct map *map)
{
	knit_context *context = kn_malloc(sizeof(*context));

	if (!context)
		return NULL;
	atomic_init(&context->vars.refs, 1);
	context->vars.is_context = true;
	atomic_init(&context->user, NULL);
	context->uses = 0;
	context->map = map;
	return context;
}

void kn_vars_drop_own(void)
{
	struct kn_vars *vars = kn_self.own_vars;

	kn_self.own_vars = NULL;
	kn_vars_drop(vars);
}

/* The thread's own variables go with it. */
static void forget_own(struct kn_thread *thread)
{
	struct kn_vars *vars = thread->own_vars;

	thread->vars = NULL;
	thread->own_vars = NULL;
	kn_vars_release(vars);
}

/* The current context as one that can be changed; NULL without memory. */
static knit_context *current(void)
{
	struct kn_vars **here = kn_vars_here();
	knit_context *context;

	if (*here && (*here)->is_context)
		return kn_container_of(*here, knit_context, vars);
	if (here == &kn_self.own_vars || (kn_self.loop && here == &kn_self.loop->outer_vars)) {
		kn_thread_at_exit(forget_own);
		if (kn_thread_arm_exit() < 0)
			return NULL;
	}
	context = context_new(map_of(*here));
	if (!context)
		return NULL;
	(void)begin_use(context);
	*here = &context->vars;
	return context;
}

knit_context *knit_copy_context(void)
{
	struct kn_vars *vars = kn_vars_capture();
	knit_context *context = context_new(map_of(vars));

	if (!context) {
		kn_vars_release(vars);
		errno = ENOMEM;
	}
	return context;
}

knit_context *knit_context_ref(knit_context *context)
{
	if (context)
		add_ref(&context->vars.refs);
	return context;
}

knit_context *knit_context_unref(knit_context *context)
{
	if (context && drop_ref(&context->vars.refs)) {
		map_unref(context->map);
		kn_free(context);
	}
	return NULL;
}

intptr_t knit_context_run(knit_context *context, knit_coro *coro, void *arg)
{
	struct kn_vars **here = kn_vars_here(), *before = *here, *vars;
	intptr_t outcome;
	int r = context && coro ? kn_vars_take(context, &vars) : -EINVAL;

	if (r < 0)
		return kn_fail(r);
	*here = vars;
	outcome = coro(arg);
	*here = before;
	kn_vars_drop(vars);
	return outcome;
}

/* ---- variables ----------------------------------------------------------------------- */

knit_contextvar *knit_contextvar_new_with(const knit_contextvar_options *given)
{
	knit_contextvar_options options;
	knit_contextvar *var = NULL;
	int r = kn_options_copy(&options, sizeof(options), given);

	if (r == 0) {
		var = kn_malloc(sizeof(*var));
		r = var ? 0 : -ENOMEM;
	}
	if (r == 0) {
		atomic_init(&var->refs, 1);
		var->no_default = options.no_default;
		var->default_value = options.default_value;
		var->value_free = options.value_free;
		var->name = kn_strdup(options.name ? options.name : "");
		r = var->name ? 0 : -ENOMEM;
	}
	if (r < 0) {
		kn_free(var);
		errno = -r;
		return NULL;
	}
	return var;
}

knit_contextvar *(knit_contextvar_new)(const char *name)
{
	return knit_contextvar_new(name);
}

knit_contextvar *knit_contextvar_ref(knit_contextvar *var)
{
	if (var)
		add_ref(&var->refs);
	return var;
}

knit_contextvar *knit_contextvar_unref(knit_contextvar *var)
{
	if (var && drop_ref(&var->refs)) {
		kn_free(var->name);
		kn_free(var);
	}
	return NULL;
}

const char *knit_contextvar_get_name(const knit_contextvar *var)
{
	return var ? var->name : "";
}

intptr_t knit_contextvar_get(const knit_contextvar *var)
{
	struct kn_vars *vars = *kn_vars_here();
	const struct value *value;

	if (!var)
		return kn_fail(-EINVAL);
	value = vars ? find(map_of(vars), var) : NULL;
	if (value)
		return value->word;
	return var->no_default ? kn_fail(-ENOENT) : var->default_value;
}

static struct value *value_new(knit_contextvar *var, intptr_t word)
{
	struct value *value = kn_malloc(sizeof(*value));

	if (!value)
		return NULL;
	atomic_init(&value->refs, 1);
	value->var = knit_contextvar_ref(var);
	value->word = word;
	return value;
}

int knit_contextvar_set(knit_contextvar *var, intptr_t word, knit_context_token *ret_token)
{
	struct token token = {NULL, NULL, NULL};
	struct value *value;
	knit_context *context;
	int r = -ENOMEM;

	if (!var)
		return kn_fail(-EINVAL);
	value = value_new(var, word);
	context = value ? current() : NULL;
	if (context)
		r = exchange(context, var, value, &token.before);
	if (r < 0) {
		if (value)
			knit_contextvar_unref(value->var); /* the word is the caller's again */
		kn_free(value);
		return kn_fail(r);
	}
	if (!ret_token) {
		value_unref(token.before);
		return 0;
	}
	token.var = knit_contextvar_ref(var);
	token.context = knit_context_ref(context);
	memset(ret_token, 0, sizeof(*ret_token));
	memcpy(ret_token, &token, sizeof(token));
	return 0;
}

int knit_contextvar_reset(knit_contextvar *var, knit_context_token *public)
{
	struct token token = {NULL, NULL, NULL};
	struct kn_vars *vars = *kn_vars_here();
	struct value *replaced;
	int r;

	if (!var || !public)
		return kn_fail(-EINVAL);
	memcpy(&token, public, sizeof(token));
	if (!token.var)
		return kn_fail(-KNIT_EINVALIDSTATE);
	if (token.var != var || vars != &token.context->vars)
		return kn_fail(-EINVAL);
	r = exchange(token.context, var, token.before, &replaced);
	if (r < 0)
		return kn_fail(r);
	memset(public, 0, sizeof(*public));
	value_unref(replaced);
	knit_context_unref(token.context);
	knit_contextvar_unref(token.var);
	return 0;
}

void knit_context_token_drop(knit_context_token *public)
{
	struct token token;

	if (!public)
		return;
	memcpy(&token, public, sizeof(token));
	memset(public, 0, sizeof(*public));
	value_unref(token.before);
	knit_context_unref(token.context);
	knit_contextvar_unref(token.var);
}

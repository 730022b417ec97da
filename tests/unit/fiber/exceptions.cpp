/* SPDX-License-Identifier: MIT */
/* exceptions.cpp - C++ exceptions and switches: an exception being handled stays its
 * fiber's own. exceptions.sh builds and runs it. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

extern "C" {
#include "fiber/fiber.h"
}

static int failures;

#define EXPECT(condition)                                                                    \
	do {                                                                                 \
		if (!(condition)) {                                                          \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                                          \
		}                                                                            \
	} while (0)

static kn_fiber thread_fiber;
static kn_stack_pool *pool;

/* One fiber; the thread resumes it, it yields to the thread. */
struct routine {
	kn_fiber fiber;
	kn_stack *stack;
	void (*body)(routine &);
	bool done = false;

	explicit routine(void (*body_)(routine &)) : stack(kn_stack_get(pool, 0)), body(body_)
	{
		kn_fiber_init(&fiber, stack, main, this);
	}
	~routine() { kn_stack_put(pool, stack); }
	void resume() { kn_fiber_switch(&thread_fiber, &fiber); }
	void yield() { kn_fiber_switch(&fiber, &thread_fiber); }
	static void main(void *arg)
	{
		routine *self = static_cast<routine *>(arg);

		self->body(*self);
		self->done = true;
		kn_fiber_exit(&self->fiber, &thread_fiber);
	}
};

/* What is being handled right now, by its text; "none". */
static std::string current()
{
	std::exception_ptr exception = std::current_exception();

	if (!exception)
		return "none";
	try {
		std::rethrow_exception(exception);
	} catch (const std::exception &e) {
		return e.what();
	}
}

/* ---- an await inside a catch block ---- */

static void throw_and_catch(routine &self)
{
	EXPECT(current() == "none");
	for (int i = 0; i < 3; i++) {
		try {
			throw std::runtime_error("inner");
		} catch (const std::exception &) {
			EXPECT(current() == "inner");
			self.yield();
			EXPECT(current() == "inner");
		}
		EXPECT(current() == "none");
	}
}

static void switch_in_a_catch_block()
{
	routine other(throw_and_catch);

	while (!other.done) {
		try {
			throw std::logic_error("outer");
		} catch (const std::exception &) {
			other.resume();
			EXPECT(current() == "outer");
			/* Rethrows what this side handles. */
			try {
				throw;
			} catch (const std::logic_error &e) {
				EXPECT(std::strcmp(e.what(), "outer") == 0);
			} catch (...) {
				EXPECT(!"the other side's exception");
			}
		}
		EXPECT(current() == "none");
	}
}

/* ---- blocks that are left in another order than they were entered ---- */

static void catch_two(routine &self)
{
	try {
		throw std::runtime_error("first");
	} catch (const std::exception &) {
		self.yield();
		EXPECT(current() == "first");
		try {
			throw std::runtime_error("second");
		} catch (const std::exception &) {
			self.yield();
			EXPECT(current() == "second");
		}
		self.yield();
		EXPECT(current() == "first");
	}
	EXPECT(current() == "none");
}

static void interleave()
{
	routine a(catch_two), b(catch_two), c(catch_two);

	a.resume();
	b.resume();
	a.resume();
	c.resume();
	while (!a.done)
		a.resume();
	EXPECT(current() == "none");
	while (!b.done || !c.done) {
		if (!b.done)
			b.resume();
		if (!c.done)
			c.resume();
	}
	EXPECT(current() == "none");
}

/* ---- an await while an exception is on its way ---- */

static void see_nothing(routine &self)
{
	EXPECT(std::uncaught_exceptions() == 0);
	try {
		throw std::runtime_error("meanwhile");
	} catch (const std::exception &) {
		EXPECT(std::uncaught_exceptions() == 0);
		self.yield();
	}
	EXPECT(std::uncaught_exceptions() == 0);
}

struct resumes_at_end {
	routine &other;

	~resumes_at_end()
	{
		EXPECT(std::uncaught_exceptions() == 1);
		other.resume();
		EXPECT(std::uncaught_exceptions() == 1);
	}
};

static void switch_while_unwinding()
{
	routine other(see_nothing);

	for (int i = 0; i < 2; i++) {
		try {
			resumes_at_end guard = {other};

			(void)guard;
			throw std::logic_error("on its way");
		} catch (const std::logic_error &e) {
			EXPECT(std::strcmp(e.what(), "on its way") == 0);
		}
		EXPECT(std::uncaught_exceptions() == 0);
	}
	EXPECT(other.done);
}

/* ---- an exception that would leave the fiber ---- */

static void throw_out(routine &)
{
	throw std::runtime_error("out");
}

[[noreturn]] static void terminated()
{
	std::puts("terminated");
	std::fflush(stdout);
	std::_Exit(3);
}

int main(int argc, char **)
{
	kn_fiber_init_thread(&thread_fiber);
	pool = kn_stack_pool_new(65536, false, KN_GUARD_BEST);
	if (argc > 1) {
		std::set_terminate(terminated);
		routine other(throw_out);
		other.resume();
		return 0;
	}
	switch_in_a_catch_block();
	interleave();
	switch_while_unwinding();
	kn_stack_pool_free(pool);
	return failures ? 1 : 0;
}

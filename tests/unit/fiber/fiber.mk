# The unit tests of lib/fiber, one file a line.
fiber_tests = \
	tests/unit/fiber/coroutine.c \
	tests/unit/fiber/coroutine.h \
	tests/unit/fiber/memory.c \
	tests/unit/fiber/memory.h \
	tests/unit/fiber/test_aside.c \
	tests/unit/fiber/test_context.c \
	tests/unit/fiber/test_fiber.c \
	tests/unit/fiber/test_overflow.c \
	tests/unit/fiber/test_sanitizer.c \
	tests/unit/fiber/test_stack_guard.c \
	tests/unit/fiber/test_stack_pool.c \
	tests/unit/fiber/test_stack_usage.c \
	tests/unit/fiber/test_unwind.c

# C++ has to be compiled by hand: the build knows C only.
fiber_test_scripts = tests/unit/fiber/exceptions.sh
EXTRA_DIST += tests/unit/fiber/exceptions.sh tests/unit/fiber/exceptions.cpp

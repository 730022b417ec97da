# lib/fiber: sources and headers, one a line.
fiber_sources = \
	lib/fiber/aside.c \
	lib/fiber/backtrace.c \
	lib/fiber/context.h \
	lib/fiber/fiber.c \
	lib/fiber/fiber.h \
	lib/fiber/guard.c \
	lib/fiber/guard.h \
	lib/fiber/overflow.c \
	lib/fiber/stack.h \
	lib/fiber/stack_annotate.h \
	lib/fiber/stack_pool.c \
	lib/fiber/stack_slab.c \
	lib/fiber/stack_slab.h \
	lib/fiber/stack_usage.c

# One of these three is added: see configure's --with-fiber.
fiber_x86_64_sources = \
	lib/fiber/switch_x86_64.S
fiber_aarch64_sources = \
	lib/fiber/switch_aarch64.S
fiber_ucontext_sources = \
	lib/fiber/context_ucontext.c

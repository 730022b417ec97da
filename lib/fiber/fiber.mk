# lib/fiber: sources and headers, one a line.
fiber_sources = \
	lib/fiber/fiber.h \
	lib/fiber/stack.h

# One of these three is added: see configure's --with-fiber.
fiber_x86_64_sources = \
	lib/fiber/switch_x86_64.S
fiber_aarch64_sources =
fiber_ucontext_sources =

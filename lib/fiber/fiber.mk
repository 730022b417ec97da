# lib/fiber: sources and headers, one a line.
fiber_sources = \
	lib/fiber/fiber.h \
	lib/fiber/stack.h

# One of these three is added: see configure's --with-fiber.
fiber_x86_64_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools
fiber_aarch64_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools
fiber_ucontext_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

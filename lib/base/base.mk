# lib/base: sources and headers, one a line.
base_sources = \
	lib/base/alloc.c \
	lib/base/alloc.h \
	lib/base/code.c \
	lib/base/compiler.h \
	lib/base/error.h \
	lib/base/heap.c \
	lib/base/heap.h \
	lib/base/inbox.c \
	lib/base/inbox.h \
	lib/base/list.h \
	lib/base/message.c \
	lib/base/options.c \
	lib/base/options.h \
	lib/base/panic.c \
	lib/base/slab.c \
	lib/base/slab.h \
	lib/base/thread.c \
	lib/base/thread.h \
	lib/base/ticks.c \
	lib/base/ticks.h

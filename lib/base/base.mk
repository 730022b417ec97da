# lib/base: sources and headers, one a line.
base_sources = \
	lib/base/alloc.c \
	lib/base/alloc.h \
	lib/base/compiler.h \
	lib/base/error.h \
	lib/base/heap.c \
	lib/base/heap.h \
	lib/base/inbox.h \
	lib/base/list.h \
	lib/base/options.c \
	lib/base/options.h \
	lib/base/slab.h \
	lib/base/thread.h

# lib/loop: sources and headers, one a line.
loop_sources = \
	lib/loop/batch.c \
	lib/loop/callback.c \
	lib/loop/callback.h \
	lib/loop/close.c \
	lib/loop/context.c \
	lib/loop/context.h \
	lib/loop/debug.c \
	lib/loop/debug.h \
	lib/loop/exception.c \
	lib/loop/executor.c \
	lib/loop/executor.h \
	lib/loop/host.c \
	lib/loop/interrupt.c \
	lib/loop/loop.c \
	lib/loop/loop.h \
	lib/loop/post.c \
	lib/loop/post.h \
	lib/loop/registry.c \
	lib/loop/run.c \
	lib/loop/signal.c \
	lib/loop/signal.h \
	lib/loop/timer.c \
	lib/loop/wheel.c \
	lib/loop/wheel.h

# lib/engine: sources and headers, one a line.
engine_sources = \
	lib/engine/cancel.c \
	lib/engine/checkers.c \
	lib/engine/checkers.h \
	lib/engine/deadline.c \
	lib/engine/diagnose.c \
	lib/engine/embed.c \
	lib/engine/engine.h \
	lib/engine/inflight.c \
	lib/engine/kernel.h \
	lib/engine/prepare.c \
	lib/engine/reap.c \
	lib/engine/setup.c \
	lib/engine/uring.c \
	lib/engine/uring.h

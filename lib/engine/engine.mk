# lib/engine: sources and headers, one a line.
engine_sources = \
	lib/engine/engine.h \
	lib/engine/kernel.h \
	lib/engine/uring.h

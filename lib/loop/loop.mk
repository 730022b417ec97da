# lib/loop: sources and headers, one a line.
loop_sources = \
	lib/loop/loop.h

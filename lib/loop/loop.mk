# lib/loop: sources and headers, one a line.
loop_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

# lib/io: sources and headers, one a line.
io_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

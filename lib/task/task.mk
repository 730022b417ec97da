# lib/task: sources and headers, one a line.
task_sources = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

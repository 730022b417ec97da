# The unit tests of lib/task, one file a line.
task_tests = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

# The unit tests of lib/loop, one file a line.
loop_tests = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

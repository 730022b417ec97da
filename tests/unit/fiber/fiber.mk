# The unit tests of lib/fiber, one file a line.
fiber_tests = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

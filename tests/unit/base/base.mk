# The unit tests of lib/base, one file a line.
base_tests = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

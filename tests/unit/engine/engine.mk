# The unit tests of lib/engine, one file a line.
engine_tests = \
	LICENSE \
	Makefile.am \
	configure.ac \
	include \
	lib \
	tests \
	tools

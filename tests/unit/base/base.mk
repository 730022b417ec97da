# The unit tests of lib/base, one file a line.
base_tests = \
	tests/unit/base/test_alloc.c \
	tests/unit/base/test_heap.c \
	tests/unit/base/test_list.c

# The unit tests of lib/base, one file a line.
base_tests = \
	tests/unit/base/inbox_model.c \
	tests/unit/base/inbox_model.h \
	tests/unit/base/test_alloc.c \
	tests/unit/base/test_error.c \
	tests/unit/base/test_heap.c \
	tests/unit/base/test_inbox.c \
	tests/unit/base/test_inbox_model.c \
	tests/unit/base/test_inbox_threads.c \
	tests/unit/base/test_list.c \
	tests/unit/base/test_options.c \
	tests/unit/base/test_slab.c \
	tests/unit/base/test_thread.c

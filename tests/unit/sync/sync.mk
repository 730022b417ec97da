# The unit tests of lib/sync, one file a line.
sync_tests = \
	tests/unit/loop/rig.c \
	tests/unit/loop/rig.h \
	tests/unit/sync/test_closing.c \
	tests/unit/sync/test_condition.c \
	tests/unit/sync/test_items.c \
	tests/unit/sync/test_lock.c \
	tests/unit/sync/test_misuse.c \
	tests/unit/sync/test_queue.c \
	tests/unit/sync/test_rounds.c

# The unit tests of lib/engine, one file a line.
engine_tests = \
	tests/unit/engine/rig.c \
	tests/unit/engine/rig.h \
	tests/unit/engine/test_cancel.c \
	tests/unit/engine/test_cancel_again.c \
	tests/unit/engine/test_deadline.c \
	tests/unit/engine/test_diagnose.c \
	tests/unit/engine/test_drain.c \
	tests/unit/engine/test_faults.c \
	tests/unit/engine/test_inflight.c \
	tests/unit/engine/test_multishot.c \
	tests/unit/engine/test_ops.c \
	tests/unit/engine/test_race.c \
	tests/unit/engine/test_setup.c \
	tests/unit/engine/test_submit.c \
	tests/unit/engine/test_threads.c

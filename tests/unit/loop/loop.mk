# The unit tests of lib/loop, one file a line.
loop_tests = \
	tests/unit/loop/rig.c \
	tests/unit/loop/rig.h \
	tests/unit/loop/test_clock.c \
	tests/unit/loop/test_close.c \
	tests/unit/loop/test_executor.c \
	tests/unit/loop/test_fairness.c \
	tests/unit/loop/test_fork.c \
	tests/unit/loop/test_handles.c \
	tests/unit/loop/test_host.c \
	tests/unit/loop/test_host_all.c \
	tests/unit/loop/test_min_wait.c \
	tests/unit/loop/test_no_memory.c \
	tests/unit/loop/test_ownership.c \
	tests/unit/loop/test_passes.c \
	tests/unit/loop/test_posts.c \
	tests/unit/loop/test_references.c \
	tests/unit/loop/test_signal_storm.c \
	tests/unit/loop/test_signals.c \
	tests/unit/loop/test_spin.c \
	tests/unit/loop/test_wheel.c

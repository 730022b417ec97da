# The unit tests of lib/task, one file a line.
task_tests = \
	tests/unit/loop/rig.c \
	tests/unit/loop/rig.h \
	tests/unit/task/test_aside.c \
	tests/unit/task/test_blocking.c \
	tests/unit/task/test_burst.c \
	tests/unit/task/test_chain.c \
	tests/unit/task/test_closing.c \
	tests/unit/task/test_closing_calls.c \
	tests/unit/task/test_concurrent.c \
	tests/unit/task/test_context.c \
	tests/unit/task/test_dips.c \
	tests/unit/task/test_eager.c \
	tests/unit/task/test_ending.c \
	tests/unit/task/test_foreign.c \
	tests/unit/task/test_forgotten.c \
	tests/unit/task/test_fork.c \
	tests/unit/task/test_group.c \
	tests/unit/task/test_group_random.c \
	tests/unit/task/test_lifetime.c \
	tests/unit/task/test_map.c \
	tests/unit/task/test_no_memory.c \
	tests/unit/task/test_remote.c \
	tests/unit/task/test_run_on.c \
	tests/unit/task/test_runner.c \
	tests/unit/task/test_scope.c \
	tests/unit/task/test_scope_misuse.c \
	tests/unit/task/test_scope_random.c \
	tests/unit/task/test_virtual.c \
	tests/unit/task/test_wait.c \
	tests/unit/task/test_wait_cancel.c \
	tests/unit/task/test_wait_set.c \
	tests/unit/task/test_wrap.c \
	tests/unit/task/test_yield.c

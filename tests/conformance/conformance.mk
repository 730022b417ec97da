# The conformance tests: asyncio's rules and traces, one file a line.
conformance_tests = \
	tests/conformance/common.c \
	tests/conformance/common.h \
	tests/conformance/test_cancel_more_rules.c \
	tests/conformance/test_cancel_rules.c \
	tests/conformance/test_cancel_scenarios.c \
	tests/conformance/test_context_rules.c \
	tests/conformance/test_debug_rules.c \
	tests/conformance/test_eager_rules.c \
	tests/conformance/test_future_rules.c \
	tests/conformance/test_group_more_rules.c \
	tests/conformance/test_group_rules.c \
	tests/conformance/test_io_rules.c \
	tests/conformance/test_loop_rules.c \
	tests/conformance/test_loop_scenarios.c \
	tests/conformance/test_memory.c \
	tests/conformance/test_misuse.c \
	tests/conformance/test_ownership.c \
	tests/conformance/test_program_rules.c \
	tests/conformance/test_queue_rules.c \
	tests/conformance/test_random.c \
	tests/conformance/test_reader_rules.c \
	tests/conformance/test_remote_ownership.c \
	tests/conformance/test_retrieval_rules.c \
	tests/conformance/test_run_rules.c \
	tests/conformance/test_runner_rules.c \
	tests/conformance/test_sync_more_rules.c \
	tests/conformance/test_sync_rules.c \
	tests/conformance/test_sync_scenarios.c \
	tests/conformance/test_task_more_rules.c \
	tests/conformance/test_task_rules.c \
	tests/conformance/test_task_scenarios.c \
	tests/conformance/test_thread_rules.c \
	tests/conformance/test_timeout_rules.c \
	tests/conformance/test_timer_rules.c \
	tests/conformance/test_wait_gather_rules.c \
	tests/conformance/test_wait_rules.c \
	tests/conformance/test_wait_scenarios.c \
	tests/conformance/test_wait_shield_rules.c \
	tests/conformance/test_wait_ticks.c

if ENGINE
check_PROGRAMS += tests/conformance/test-conformance
program_tests += tests/conformance/test-conformance
endif
tests_conformance_test_conformance_SOURCES = $(conformance_tests)
tests_conformance_test_conformance_CPPFLAGS = $(TEST_CPPFLAGS)
tests_conformance_test_conformance_LDADD = $(TEST_LIBS)

# The table of rules is generated: this compares it with README.md.
meta_tests += tests/conformance/table-is-current.sh
EXTRA_DIST += tests/conformance/not-here.txt tests/conformance/table.sh

# The tests of tools/knit-bench: of how it measures, and of the program.
if ENGINE
check_PROGRAMS += tests/integration/test-bench
program_tests += tests/integration/test-bench
endif
tests_integration_test_bench_SOURCES = \
	tests/integration/bench/test_bench.c \
	tests/integration/command.c \
	tests/integration/command.h \
	tools/bench/bench.c \
	tools/bench/measure.c
tests_integration_test_bench_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_bench_LDADD = $(TEST_LIBS)

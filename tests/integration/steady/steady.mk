# Steady state: once warm, nothing is allocated.
if ENGINE
check_PROGRAMS += tests/integration/test-steady
program_tests += tests/integration/test-steady
endif
tests_integration_test_steady_SOURCES = \
	tests/integration/steady/count.c \
	tests/integration/steady/count.h \
	tests/integration/steady/test_io.c \
	tests/integration/steady/test_sync.c \
	tests/integration/steady/test_tasks.c
tests_integration_test_steady_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_steady_LDADD = $(TEST_LIBS)

# The stress tests, one a line.

if ENGINE
check_PROGRAMS += tests/stress/test-many
program_tests += tests/stress/test-many
endif
tests_stress_test_many_SOURCES = tests/stress/test_many_tasks.c
tests_stress_test_many_CPPFLAGS = $(TEST_CPPFLAGS)
tests_stress_test_many_LDADD = $(TEST_LIBS)

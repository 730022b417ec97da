# The tests of tools/knit-load: of its parts, and of the program against peers with faults.
check_PROGRAMS += tests/integration/test-load
program_tests += tests/integration/test-load
tests_integration_test_load_SOURCES = \
	tests/integration/command.c \
	tests/integration/command.h \
	tests/integration/load/peer.c \
	tests/integration/load/peer.h \
	tests/integration/load/test_load.c \
	tests/integration/load/test_parts.c \
	tools/load/histogram.c \
	tools/load/payload.c \
	tools/load/target.c
tests_integration_test_load_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_load_LDADD = $(TEST_LIBS)

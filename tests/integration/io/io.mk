# The guarantees of lib/io, with threads as peers, small rings, and a kernel that misbehaves.
if ENGINE
check_PROGRAMS += tests/integration/test-io
program_tests += tests/integration/test-io
endif
tests_integration_test_io_SOURCES = \
	tests/integration/io/data.c \
	tests/integration/io/data.h \
	tests/integration/io/race.c \
	tests/integration/io/race.h \
	tests/integration/io/test_bulk.c \
	tests/integration/io/test_descriptors.c \
	tests/integration/io/test_fairness.c \
	tests/integration/io/test_enters.c \
	tests/integration/io/test_faults.c \
	tests/integration/io/test_loop_close.c \
	tests/integration/io/test_race_data.c \
	tests/integration/io/test_race_descriptors.c \
	tests/integration/io/test_small_ring.c \
	tests/unit/io/rig.c
tests_integration_test_io_CPPFLAGS = $(TEST_CPPFLAGS)
tests_integration_test_io_LDADD = $(TEST_LIBS) $(URING_LIBS)

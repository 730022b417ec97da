# Faults on purpose: one for each thing that a stage of tools/check claims to find.
check_PROGRAMS += tests/seeded/seeded
tests_seeded_seeded_SOURCES = \
	tests/seeded/leak.c \
	tests/seeded/overflow.c \
	tests/seeded/race.c \
	tests/seeded/undefined.c \
	tests/seeded/uninitialised.c
tests_seeded_seeded_CPPFLAGS = $(TEST_CPPFLAGS)
tests_seeded_seeded_LDADD = $(TEST_LIBS)

EXTRA_DIST += tests/seeded/README.md

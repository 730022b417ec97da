# The stress tests, one program a subject.

handover_tests = \
	tests/stress/stress.c \
	tests/stress/stress.h \
	tests/stress/test_interrupted.c \
	tests/stress/test_lives.c \
	tests/stress/test_mixture.c \
	tests/stress/test_pingpong.c \
	tests/stress/test_wakes.c \
	tests/unit/loop/rig.c \
	tests/unit/loop/rig.h

if ENGINE
check_PROGRAMS += tests/stress/test-handover tests/stress/test-many \
	tests/stress/test-conservation
program_tests += tests/stress/test-handover tests/stress/test-many \
	tests/stress/test-conservation
endif
tests_stress_test_handover_SOURCES = $(handover_tests)
tests_stress_test_handover_CPPFLAGS = $(TEST_CPPFLAGS)
tests_stress_test_handover_LDADD = $(TEST_LIBS)

tests_stress_test_many_SOURCES = tests/stress/test_many_tasks.c
tests_stress_test_many_CPPFLAGS = $(TEST_CPPFLAGS)
tests_stress_test_many_LDADD = $(TEST_LIBS)

tests_stress_test_conservation_SOURCES = tests/stress/test_conservation.c \
	tests/stress/stress.c \
	tests/stress/stress.h \
	tests/unit/loop/rig.c \
	tests/unit/loop/rig.h
tests_stress_test_conservation_CPPFLAGS = $(TEST_CPPFLAGS)
tests_stress_test_conservation_LDADD = $(TEST_LIBS)

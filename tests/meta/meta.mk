# Checks of the sources and of what was built from them; the last one checks the checks.
meta_tests += \
	tests/meta/elf.sh \
	tests/meta/format.sh \
	tests/meta/headers.sh \
	tests/meta/install.sh \
	tests/meta/layers.sh \
	tests/meta/lessons.sh \
	tests/meta/manual.sh \
	tests/meta/readme.sh \
	tests/meta/runner.sh \
	tests/meta/selftest.sh \
	tests/meta/symbols.sh \
	tests/meta/tree.sh \
	tests/meta/used.sh

# Tests that fail, one way each: runner.sh sees to it that the runner notices.
check_PROGRAMS += tests/meta/failing
tests_meta_failing_SOURCES = tests/meta/failing.c
tests_meta_failing_CPPFLAGS = $(TEST_CPPFLAGS)
tests_meta_failing_LDADD = $(TEST_LIBS)

EXTRA_DIST += tests/LESSONS.md tests/meta/README.md tests/meta/common.sh tests/meta/declarations.awk $(meta_tests)

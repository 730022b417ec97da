# The tests: one fragment a folder, each naming its files one by one.

# What every test program links. With Criterion, main() is in its library.
check_LTLIBRARIES += tests/libtest.la
tests_libtest_la_SOURCES = tests/test.h tests/support/helpers.c tests/support/helpers.h \
	tests/support/runner.h
tests_libtest_la_CPPFLAGS = $(TEST_CPPFLAGS)
TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests $(CRITERION_CFLAGS)
TEST_LIBS = tests/libtest.la libknit-core.la $(CRITERION_LIBS) -lm
if TEST_RUNNER_OWN
tests_libtest_la_SOURCES += tests/support/runner.c
TEST_CPPFLAGS += -DTEST_RUNNER_OWN
endif
EXTRA_DIST += tests/support/runner.c

# Programs run through tests/support/run, which sets a limit and the options of sanitizers,
# and fails where a report was written. TEST_WRAPPER="valgrind ..." runs them under a tool.
# `make check TESTS='$(program_tests)'` leaves the checks of the sources out.
program_tests =
meta_tests =
TESTS += $(program_tests) $(meta_tests)
LOG_COMPILER = $(top_srcdir)/tests/support/run
TEST_EXTENSIONS = .sh
SH_LOG_COMPILER = $(SHELL)
EXTRA_DIST += tests/support/run tests/README.md tests/support/README.md \
	tests/integration/README.md tests/stress/README.md tests/conformance/README.md \
	tests/examples/README.md
AM_TESTS_ENVIRONMENT = top_srcdir='$(top_srcdir)'; top_builddir='$(top_builddir)'; \
	CC='$(CC)'; NM='$(NM)'; MAKE='$(MAKE)'; INSTRUMENT_FLAGS='$(INSTRUMENT_FLAGS)'; \
	export top_srcdir top_builddir CC NM MAKE INSTRUMENT_FLAGS;

include $(top_srcdir)/tests/unit/unit.mk
include $(top_srcdir)/tests/meta/meta.mk
include $(top_srcdir)/tests/seeded/seeded.mk
include $(top_srcdir)/tests/integration/integration.mk
include $(top_srcdir)/tests/stress/stress.mk
include $(top_srcdir)/tests/conformance/conformance.mk
include $(top_srcdir)/tests/examples/examples.mk

# Unit tests: one program a layer, from one fragment a layer.

include $(top_srcdir)/tests/unit/base/base.mk
include $(top_srcdir)/tests/unit/fiber/fiber.mk
include $(top_srcdir)/tests/unit/engine/engine.mk
include $(top_srcdir)/tests/unit/loop/loop.mk
include $(top_srcdir)/tests/unit/task/task.mk
include $(top_srcdir)/tests/unit/sync/sync.mk
include $(top_srcdir)/tests/unit/io/io.mk

EXTRA_DIST += tests/unit/README.md

# The tests of the own runner and of tests/support/helpers.h.
check_PROGRAMS += tests/unit/test-support
program_tests += tests/unit/test-support
tests_unit_test_support_SOURCES = tests/unit/support/test_runner.c
tests_unit_test_support_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_support_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-base
program_tests += tests/unit/test-base
tests_unit_test_base_SOURCES = $(base_tests)
tests_unit_test_base_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_base_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-fiber
program_tests += tests/unit/test-fiber $(fiber_test_scripts)
tests_unit_test_fiber_SOURCES = $(fiber_tests)
tests_unit_test_fiber_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_fiber_LDADD = $(TEST_LIBS)

if ENGINE
check_PROGRAMS += tests/unit/test-engine
program_tests += tests/unit/test-engine
tests_unit_test_engine_SOURCES = $(engine_tests)
tests_unit_test_engine_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_engine_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-loop
program_tests += tests/unit/test-loop
tests_unit_test_loop_SOURCES = $(loop_tests)
tests_unit_test_loop_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_loop_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-task
program_tests += tests/unit/test-task
tests_unit_test_task_SOURCES = $(task_tests)
tests_unit_test_task_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_task_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-sync
program_tests += tests/unit/test-sync
tests_unit_test_sync_SOURCES = $(sync_tests)
tests_unit_test_sync_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_sync_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-io
program_tests += tests/unit/test-io
tests_unit_test_io_SOURCES = $(io_tests)
tests_unit_test_io_CPPFLAGS = $(TEST_CPPFLAGS)
tests_unit_test_io_LDADD = $(TEST_LIBS)
endif

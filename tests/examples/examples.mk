# The examples: programs of the public interface, and a script that runs them.
if ENGINE
example_programs = tests/examples/work tests/examples/three tests/examples/loops
check_PROGRAMS += $(example_programs)
program_tests += tests/examples/examples.sh
endif
tests_examples_work_SOURCES = tests/examples/work.c
tests_examples_work_LDADD = libknit.la
tests_examples_three_SOURCES = tests/examples/three.c
tests_examples_three_LDADD = libknit.la
tests_examples_loops_SOURCES = tests/examples/loops.c
tests_examples_loops_LDADD = libknit.la
EXTRA_DIST += tests/examples/examples.sh

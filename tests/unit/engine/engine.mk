# The unit tests of lib/engine, one file a line.
engine_tests = \
	tests/unit/engine/rig.c \
	tests/unit/engine/rig.h \
	tests/unit/engine/test_ops.c

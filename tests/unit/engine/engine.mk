# The unit tests of lib/engine, one file a line.
engine_tests =

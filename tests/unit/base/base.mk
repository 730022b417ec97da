# The unit tests of lib/base, one file a line.
base_tests =

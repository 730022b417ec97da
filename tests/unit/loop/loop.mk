# The unit tests of lib/loop, one file a line.
loop_tests =

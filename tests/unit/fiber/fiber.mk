# The unit tests of lib/fiber, one file a line.
fiber_tests =

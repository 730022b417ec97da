# The unit tests of lib/io, one file a line.
io_tests =

# The meta tests, one a line.

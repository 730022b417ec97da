# The examples tests, one a line.

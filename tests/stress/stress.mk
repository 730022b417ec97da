# The stress tests, one a line.

# The integration tests, one a line.

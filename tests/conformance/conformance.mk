# The conformance tests, one a line.

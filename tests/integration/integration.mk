# The integration tests, one a line.
include $(top_srcdir)/tests/integration/load/load.mk

# Integration tests: programs and layers together, one fragment a subject.

include $(top_srcdir)/tests/integration/bench/bench.mk
include $(top_srcdir)/tests/integration/echo/echo.mk
include $(top_srcdir)/tests/integration/io/io.mk
include $(top_srcdir)/tests/integration/load/load.mk
include $(top_srcdir)/tests/integration/steady/steady.mk

# Programs that come with knit: one fragment a folder. They use the public interface only.

include $(top_srcdir)/tools/bench/bench.mk
include $(top_srcdir)/tools/echo/echo.mk
include $(top_srcdir)/tools/load/load.mk
include $(top_srcdir)/tools/peers/peers.mk

# Needs no knit: it puts load on servers of any kind.
noinst_PROGRAMS += tools/knit-load
tools_knit_load_SOURCES = $(load_sources)

# With the static library, as a program that is measured would be: calls into the shared one cost a
# jump each (1.5 ns of 10 for a yield). And without libtool's wrapper script, which would be one more
# process to measure around.
if ENGINE
noinst_PROGRAMS += tools/knit-bench
endif
tools_knit_bench_SOURCES = $(bench_sources)
tools_knit_bench_LDADD = libknit.la $(URING_LIBS) -lm
tools_knit_bench_LDFLAGS = $(AM_LDFLAGS) -static -no-install

if ENGINE
noinst_PROGRAMS += tools/knit-echo
endif
tools_knit_echo_SOURCES = $(echo_sources)
tools_knit_echo_LDADD = libknit.la
tools_knit_echo_LDFLAGS = $(AM_LDFLAGS) -static -no-install

EXTRA_DIST += tools/bench/README.md tools/README.md tools/check tools/packages.sh tools/quickstart

# Programs that come with knit: one fragment a folder. They use the public interface only.

include $(top_srcdir)/tools/load/load.mk

# Needs no knit: it puts load on servers of any kind.
noinst_PROGRAMS += tools/knit-load
tools_knit_load_SOURCES = $(load_sources)

EXTRA_DIST += tools/README.md tools/check tools/packages.sh tools/quickstart

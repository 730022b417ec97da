# tools/load: the sources of knit-load, one a line.
load_sources = \
	tools/load/connection.c \
	tools/load/connection.h \
	tools/load/histogram.c \
	tools/load/histogram.h \
	tools/load/main.c \
	tools/load/options.c \
	tools/load/options.h \
	tools/load/payload.c \
	tools/load/payload.h \
	tools/load/report.c \
	tools/load/report.h \
	tools/load/tally.c \
	tools/load/tally.h \
	tools/load/target.c \
	tools/load/target.h \
	tools/load/worker.c \
	tools/load/worker.h

# tools/bench: the sources of knit-bench, one a line.
bench_sources = \
	tools/bench/bench.c \
	tools/bench/bench.h \
	tools/bench/knit_cross.c \
	tools/bench/knit_loop_rows.c \
	tools/bench/knit_rows.h \
	tools/bench/knit_table.c \
	tools/bench/knit_wait_rows.c \
	tools/bench/main.c \
	tools/bench/measure.c \
	tools/bench/measure.h \
	tools/bench/raw.h \
	tools/bench/raw_cross.c \
	tools/bench/raw_sched.c \
	tools/bench/raw_sched.h \
	tools/bench/raw_switch.c \
	tools/bench/raw_table.c \
	tools/bench/raw_timer.c

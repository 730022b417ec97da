# tools/bench: the sources of knit-bench, one a line.
bench_sources = \
	tools/bench/bench.c \
	tools/bench/bench.h \
	tools/bench/curve_table.c \
	tools/bench/file.c \
	tools/bench/file.h \
	tools/bench/knit_aside.c \
	tools/bench/knit_cross.c \
	tools/bench/knit_curve_posts.c \
	tools/bench/knit_curves.c \
	tools/bench/knit_file.c \
	tools/bench/knit_loop_rows.c \
	tools/bench/knit_queue_rows.c \
	tools/bench/knit_rows.h \
	tools/bench/knit_table.c \
	tools/bench/main.c \
	tools/bench/measure.c \
	tools/bench/measure.h \
	tools/bench/options.c \
	tools/bench/options.h \
	tools/bench/plot.c \
	tools/bench/plot.h \
	tools/bench/plot_svg.c \
	tools/bench/raw.h \
	tools/bench/raw_cancel.c \
	tools/bench/raw_cross.c \
	tools/bench/raw_curves.c \
	tools/bench/raw_file.c \
	tools/bench/raw_posts.c \
	tools/bench/raw_queue.c \
	tools/bench/raw_sched.c \
	tools/bench/raw_sched.h \
	tools/bench/raw_switch.c \
	tools/bench/raw_table.c \
	tools/bench/raw_timer.c \
	tools/bench/report.c \
	tools/bench/report.h

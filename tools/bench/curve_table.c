/* SPDX-License-Identifier: MIT */
/* curve_table.c - the points of the curves: NAME_SIZE, of knit and of the references.
 *
 * Gathering and waiting have the reference of spawning: they do the same and more with as many
 * records. */
#include <stddef.h>
#include "knit_rows.h"
#include "raw.h"

#define POINT(its_name, its_run, size)                                           \
	{                                                                        \
		.name = its_name, .unit = "ns", .run = its_run, .argument = size \
	}

#define SIZES(its_name, its_run)                                                      \
	POINT(its_name "_1k", its_run, 1000), POINT(its_name "_10k", its_run, 10000), \
	        POINT(its_name "_100k", its_run, 100000), POINT(its_name "_1M", its_run, 1000000)

#define LOOPS(its_name, its_run, count)                                                \
	{                                                                              \
		.name = its_name, .unit = "ns-cpu", .run = its_run, .argument = count, \
		.spans_cpus = true                                                     \
	}

const struct workload knit_curve_workloads[] = {
        SIZES("C_spawn", knit_curve_spawn),       SIZES("C_cancel", knit_curve_cancel),
        SIZES("C_timer", knit_curve_timer),       SIZES("C_timer_cancel", knit_curve_timer_cancel),
        SIZES("C_gather", knit_curve_gather),     SIZES("C_wait", knit_curve_wait),
        SIZES("C_wait_set", knit_curve_wait_set), LOOPS("C_post_1", knit_curve_post, 1),
        LOOPS("C_post_2", knit_curve_post, 2),    LOOPS("C_post_4", knit_curve_post, 4),
        LOOPS("C_post_8", knit_curve_post, 8),    {.name = NULL},
};

const struct workload raw_curve_workloads[] = {
        SIZES("C_spawn", raw_curve_spawn),
#if RAW_HAS_SWITCH
        SIZES("C_cancel", raw_curve_cancel),
        SIZES("C_timer", raw_curve_timer),
#endif
        SIZES("C_timer_cancel", raw_curve_timer_cancel),
        SIZES("C_gather", raw_curve_spawn),
        SIZES("C_wait", raw_curve_spawn),
        LOOPS("C_post_1", raw_curve_post, 1),
        LOOPS("C_post_2", raw_curve_post, 2),
        LOOPS("C_post_4", raw_curve_post, 4),
        LOOPS("C_post_8", raw_curve_post, 8),
        {.name = NULL},
};

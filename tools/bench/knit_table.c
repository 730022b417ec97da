/* SPDX-License-Identifier: MIT */
/* knit_table.c - the rows of knit. */
#include <stddef.h>
#include "knit_rows.h"

const struct workload knit_workloads[] = {
        {.name = "W1_yield", .unit = "ns", .run = knit_yield},
        {.name = "W2_spawn_join", .unit = "ns", .run = knit_spawn_join},
        {.name = "W2b_spawn_batch_cold", .unit = "ns", .run = knit_spawn_batch, .argument = 0},
        {.name = "W2b_spawn_batch_warm", .unit = "ns", .run = knit_spawn_batch, .argument = 1},
        {.name = "W3_idle_100k", .unit = "B", .run = knit_idle, .argument = 100000},
        {.name = "W3_idle_1M", .unit = "B", .run = knit_idle, .argument = 1000000},
        {.name = "W3_idle_100k_aside", .unit = "B", .run = knit_idle_aside, .argument = 100000},
        {.name = "W3_idle_1M_aside", .unit = "B", .run = knit_idle_aside, .argument = 1000000},
        {.name = "W4_sleep_task", .unit = "ns-cpu", .run = knit_sleep_task},
        {.name = "W4_timer_cb", .unit = "ns-cpu", .run = knit_timer_callbacks},
        {.name = "W4b_cancel", .unit = "ns", .run = knit_timer_cancel},
        {.name = "W5_call_soon", .unit = "ns", .run = knit_call_soon},
        {.name = "W6_pingpong",
         .unit = "us/rtt",
         .run = knit_pingpong,
         .argument = KNIT_PING_WALL,
         .spans_cpus = true},
        {.name = "W6_pingpong_cpu",
         .unit = "us-cpu/rtt",
         .run = knit_pingpong,
         .argument = KNIT_PING_CPU,
         .spans_cpus = true},
        {.name = "W6_pingpong_spin",
         .unit = "us/rtt",
         .run = knit_pingpong,
         .argument = KNIT_PING_SPIN,
         .spans_cpus = true},
        {.name = "W6b_post", .unit = "ns", .run = knit_post, .spans_cpus = true},
        {.name = "W7_queue_1", .unit = "ns", .run = knit_queue_items, .argument = 1},
        {.name = "W7_queue_128", .unit = "ns", .run = knit_queue_items, .argument = 128},
        {.name = NULL},
};

const struct workload knit_file_workloads[] = {
        {.name = "W11_file_cached",
         .unit = "us-cpu/op",
         .run = knit_file_read,
         .argument = 0,
         .rate_unit = "IOPS"},
        {.name = "W11_file_direct",
         .unit = "us-cpu/op",
         .run = knit_file_read,
         .argument = 1,
         .rate_unit = "IOPS"},
        {.name = NULL},
};

/* SPDX-License-Identifier: MIT */
/* raw_table.c - the rows of the references. The first row of a workload is the one that
 * a figure of knit is best compared with. */
#include <stddef.h>
#include "raw.h"

const struct workload raw_workloads[] = {
#if RAW_HAS_SWITCH
        {.name = "W1_bare_switch",
         .unit = "ns",
         .run = raw_bare_switch_jump,
         .peer = "asm-switch-jmp"},
        {.name = "W1_bare_switch", .unit = "ns", .run = raw_bare_switch, .peer = "asm-switch"},
        {.name = "W1_yield", .unit = "ns", .run = raw_yield_two},
        {.name = "W2_spawn_join", .unit = "ns", .run = raw_spawn_join},
        {.name = "W2b_spawn_batch_cold", .unit = "ns", .run = raw_touch, .peer = "raw-touch"},
        {.name = "W2b_spawn_batch_cold", .unit = "ns", .run = raw_spawn_batch, .argument = 0},
        {.name = "W2b_spawn_batch_warm", .unit = "ns", .run = raw_spawn_batch, .argument = 1},
        {.name = "W3_idle_100k", .unit = "B", .run = raw_idle_tasks, .argument = 100000},
        {.name = "W3_idle_1M", .unit = "B", .run = raw_idle_tasks, .argument = 1000000},
        {.name = "W4_timer_cb", .unit = "ns-cpu", .run = raw_timer_callbacks},
        {.name = "W4_sleep_task",
         .unit = "ns-cpu",
         .run = raw_sleeping_tasks,
         .peer = "raw-guarded",
         .argument = 1},
        {.name = "W4_sleep_task",
         .unit = "ns-cpu",
         .run = raw_sleeping_tasks,
         .peer = "raw-coloured",
         .argument = 0},
#endif
        {.name = "W4b_cancel", .unit = "ns", .run = raw_timer_cancel},
#if RAW_HAS_SWITCH
        {.name = "W5_call_soon", .unit = "ns", .run = raw_call_soon},
#endif
        {.name = "W6_pingpong",
         .unit = "us/rtt",
         .run = raw_pingpong,
         .peer = "raw-uring-eventfd",
         .argument = RAW_WAKE_EVENTFD,
         .spans_cpus = true},
        {.name = "W6_pingpong",
         .unit = "us/rtt",
         .run = raw_pingpong,
         .peer = "raw-uring-msg_ring",
         .argument = RAW_WAKE_MSG_RING,
         .spans_cpus = true},
        {.name = "W6_pingpong",
         .unit = "us/rtt",
         .run = raw_pingpong,
         .peer = "raw-spin-atomics",
         .argument = RAW_WAKE_SPIN,
         .spans_cpus = true},
        {.name = "W6_pingpong_spin",
         .unit = "us/rtt",
         .run = raw_pingpong,
         .peer = "raw-spin-atomics",
         .argument = RAW_WAKE_SPIN,
         .spans_cpus = true},
        {.name = "W6_pingpong_cpu",
         .unit = "us-cpu/rtt",
         .run = raw_pingpong_cpu,
         .peer = "raw-uring-eventfd",
         .argument = RAW_WAKE_EVENTFD,
         .spans_cpus = true},
        {.name = "W6_pingpong_cpu",
         .unit = "us-cpu/rtt",
         .run = raw_pingpong_cpu,
         .peer = "raw-uring-msg_ring",
         .argument = RAW_WAKE_MSG_RING,
         .spans_cpus = true},
        {.name = "W6_pingpong_cpu",
         .unit = "us-cpu/rtt",
         .run = raw_pingpong_cpu,
         .peer = "raw-spin-atomics",
         .argument = RAW_WAKE_SPIN,
         .spans_cpus = true},
        {.name = "W6b_post",
         .unit = "ns",
         .run = raw_posts,
         .peer = "raw-mpsc-intrusive",
         .spans_cpus = true},
#if RAW_HAS_SWITCH
        {.name = "W7_queue_1", .unit = "ns", .run = raw_queue, .argument = 1},
        {.name = "W7_queue_128", .unit = "ns", .run = raw_queue, .argument = 128},
#endif
        {.name = NULL},
};

#define FILE_ROW(workload, its_peer, variant)                                                  \
	{                                                                                      \
		.name = workload, .unit = "us-cpu/op", .run = raw_file_read, .peer = its_peer, \
		.argument = variant, .rate_unit = "IOPS"                                       \
	}

const struct workload raw_file_workloads[] = {
        FILE_ROW("W11_file_cached", "raw-pread-QD1", RAW_FILE_PREAD),
        FILE_ROW("W11_file_cached", "raw-preadv2", RAW_FILE_PREADV2),
        FILE_ROW("W11_file_cached", "raw-uring", RAW_FILE_RING),
        FILE_ROW("W11_file_cached", "raw-uring-batch8", RAW_FILE_RING_8),
        FILE_ROW("W11_file_direct", "raw-uring", RAW_FILE_RING | RAW_FILE_DIRECT),
        FILE_ROW("W11_file_direct", "raw-uring-batch8", RAW_FILE_RING_8 | RAW_FILE_DIRECT),
        FILE_ROW("W11_file_direct", "raw-pread-QD1", RAW_FILE_PREAD | RAW_FILE_DIRECT),
        {.name = NULL},
};

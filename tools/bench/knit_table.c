/* SPDX-License-Identifier: MIT */
/* knit_table.c - the rows of knit. */
#include <stddef.h>
#include "bench.h"

const struct workload knit_workloads[] = {
        {.name = NULL},
};

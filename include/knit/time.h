/* SPDX-License-Identifier: MIT */
/*
 * time.h - time is a signed 64-bit count of nanoseconds of CLOCK_MONOTONIC (or of the
 * loop's virtual clock). A timeout <= 0 has expired already; KNIT_FOREVER never does.
 */
#ifndef KNIT_TIME_H
#define KNIT_TIME_H

#include <stdint.h>

#define KNIT_US      INT64_C(1000)    /* a microsecond, in ns */
#define KNIT_MS      (1000 * KNIT_US) /* a millisecond, in ns */
#define KNIT_S       (1000 * KNIT_MS) /* a second, in ns */
#define KNIT_FOREVER INT64_MAX        /* a timeout that never expires */
#endif

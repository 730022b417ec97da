/* SPDX-License-Identifier: MIT */
/* memory.h - what the kernel says of this process's memory. */
#ifndef TEST_FIBER_MEMORY_H
#define TEST_FIBER_MEMORY_H
#include <stdbool.h>
#include <stddef.h>

/* A figure of /proc/self/status in bytes: "VmRSS", "VmPTE", "VmSize". */
size_t memory_status(const char *name);

/* Mappings of the process. */
size_t memory_mappings(void);

/* Does the mapping that holds @address carry the flag (two letters of VmFlags in smaps)? */
bool memory_has_flag(const void *address, const char *flag);

/* Does MADV_GUARD_INSTALL do what it says here? */
bool memory_guard_install_works(void);

#endif

/* SPDX-License-Identifier: MIT */
/* alloc.h - every allocation of the library goes through here, so that tests can
 * count them and make the n-th one fail. */
#ifndef KN_BASE_ALLOC_H
#define KN_BASE_ALLOC_H
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

/* NULL always means failure, also where the size is 0, and sets errno to ENOMEM. */
KN_MALLOC void *kn_malloc(size_t size);
KN_MALLOC void *kn_calloc(size_t count, size_t size);
KN_NODISCARD void *kn_realloc(void *memory, size_t size);
KN_MALLOC char *kn_strdup(const char *text);

/* @alignment is a power of two, at least sizeof(void *). */
KN_MALLOC void *kn_memalign(size_t alignment, size_t size);

/* For memory from any of the above; NULL is fine. */
void kn_free(void *memory);

/* For tests. The next @allow allocations of this thread succeed, all after them
 * fail until the function is called again; a negative count lets all succeed. */
void kn_alloc_fail_after(long allow);
/* How many allocations this thread has asked for. */
uint64_t kn_alloc_count(void);
#endif

/* SPDX-License-Identifier: MIT */
/* guard.h - the page below a stack that stops, or at least shows, an overflow. */
#ifndef KN_FIBER_GUARD_H
#define KN_FIBER_GUARD_H
#include <stdbool.h>
#include <stddef.h>
#include "fiber/stack.h"

/* Protects the fresh page [@page, @page + @size) by @first or, if that does not work here,
 * by the next best kind. Returns the kind, never BEST. */
enum kn_guard kn_guard_protect(char *page, size_t size, enum kn_guard first);

/* Protects the first of @count fresh pages that lie @stride bytes apart by KN_GUARD_INSTALL, in
 * one system call. Returns how many; 0 where the kernel cannot. */
size_t kn_guard_install_many(char *page, size_t size, size_t stride, size_t count);

/* Tells that a page of @kind is about to be unmapped. */
void kn_guard_forget(enum kn_guard kind);

/* Is the canary below @low, a page that has no better guard, untouched? */
bool kn_guard_canary_intact(const char *low);
#endif

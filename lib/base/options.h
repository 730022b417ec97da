/* SPDX-License-Identifier: MIT */
/* options.h - structs of keyword arguments that may grow: the caller's may be older
 * (shorter) or newer (longer) than ours. */
#ifndef KN_BASE_OPTIONS_H
#define KN_BASE_OPTIONS_H
#include <stddef.h>
#include "base/compiler.h"

/* Copies the struct at @from, which starts with its size, to @to of @known bytes; what the
 * caller does not know is zero. 0; -EINVAL: no struct, or no sensible size; -E2BIG: it asks for
 * something that this library does not know (non-zero bytes beyond @known). */
KN_NODISCARD int kn_options_copy(void *to, size_t known, const void *from);

/* Where to read them: @from itself if it is what we know, else @room, which is filled as above.
 * NULL and why in *@error. */
static inline const void *kn_options_read(void *room, size_t known, const void *from, int *error)
{
	size_t size = 0;

	if (kn_likely(from != NULL))
		__builtin_memcpy(&size, from, sizeof(size));
	if (kn_likely(size == known))
		return from;
	*error = kn_options_copy(room, known, from);
	return *error < 0 ? NULL : room;
}
#endif

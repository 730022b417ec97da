/* SPDX-License-Identifier: MIT */
/* options.c - reading a struct of keyword arguments, as the kernel's copy_struct_from_user()
 * reads its extensible structs. */
#include "base/options.h"
#include <errno.h>
#include <string.h>

int kn_options_copy(void *to, size_t known, const void *from)
{
	size_t size;

	if (!from)
		return -EINVAL;
	memcpy(&size, from, sizeof(size));
	if (size < 2 * sizeof(size) || size > 4096)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (((const unsigned char *)from)[i])
			return -E2BIG;
	memset(to, 0, known);
	memcpy(to, from, size < known ? size : known);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* panic.c - the end of the process, where going on would corrupt memory.
 *
 * May be reached on any stack, with any lock held and the heap in ruins, also from a signal
 * handler. Hence no allocation and no stdio stream: one buffer on the stack, one write(2).
 * vsnprintf() is not on the list of what a signal handler may call, but with the plain
 * formats used here no C library allocates or locks in it. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"

#define PREFIX "knit: "

typedef void abort_hook(const char *line);

static _Atomic(abort_hook *) hook;

/* A hook that panics itself gets the default treatment, instead of an endless recursion. */
static __thread bool in_hook;

void knit_set_abort_hook(abort_hook *new_hook)
{
	atomic_store_explicit(&hook, new_hook, memory_order_release);
}

static void write_all(const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(STDERR_FILENO, text, length);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			text += written;
			length -= (size_t)written;
		}
	}
}

void kn_panic(const char *format, ...)
{
	char line[512] = PREFIX;
	size_t length;
	abort_hook *call;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line + strlen(PREFIX), sizeof(line) - strlen(PREFIX), format, arguments);
	va_end(arguments);
	/* One line, even if a name in it has more. */
	for (length = 0; line[length]; length++)
		if (line[length] == '\n')
			line[length] = ' ';

	call = atomic_load_explicit(&hook, memory_order_acquire);
	if (call && !in_hook) {
		in_hook = true;
		call(line);
	} else {
		line[length++] = '\n'; /* in place of the 0 */
		write_all(line, length);
	}
	abort();
}

/* SPDX-License-Identifier: MIT */
/* tally.c - counting, for each thread on its own, and adding up at the end. */
#include <stdarg.h>
#include <stdio.h>
#include "tally.h"

static const struct {
	const char *name, *key;
} kinds[LOAD_ERRORS] = {
        [LOAD_CONNECT_REFUSED] = {"connect refused", "connect_refused"},
        [LOAD_CONNECT_TIMEOUT] = {"connect timed out", "connect_timeout"},
        [LOAD_CONNECT_FAILED] = {"connect failed", "connect_failed"},
        [LOAD_RESET] = {"reset", "reset"},
        [LOAD_SHORT] = {"short", "short"},
        [LOAD_TIMEOUT] = {"timeout", "timeout"},
        [LOAD_MISMATCH] = {"mismatch", "mismatch"},
        [LOAD_SURPLUS] = {"surplus", "surplus"},
        [LOAD_OTHER] = {"other", "other"},
};

const char *load_error_name(enum load_error error)
{
	return kinds[error].name;
}

const char *load_error_key(enum load_error error)
{
	return kinds[error].key;
}

void tally_bump64(_Atomic uint64_t *counter)
{
	/* A load and a store: there is one writer, a locked instruction is not needed. */
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

void tally_error(struct tally *tally, enum load_error error, const char *format, ...)
{
	va_list arguments;
	if (tally->errors[error]++ == 0) {
		va_start(arguments, format);
		vsnprintf(tally->first[error], sizeof(tally->first[error]), format, arguments);
		va_end(arguments);
	}
	tally_bump64(&tally->failures);
}

void tally_add(struct tally *sum, const struct tally *part)
{
	sum->received += part->received;
	sum->failures += part->failures;
	sum->open += part->open;
	sum->sent += part->sent;
	sum->bytes_sent += part->bytes_sent;
	sum->bytes_received += part->bytes_received;
	sum->measured += part->measured;
	if (part->last_reply_ns > sum->last_reply_ns)
		sum->last_reply_ns = part->last_reply_ns;
	sum->opened += part->opened;
	sum->unclosed += part->unclosed;
	for (int i = 0; i < LOAD_ERRORS; i++) {
		if (part->errors[i] && !sum->errors[i])
			snprintf(sum->first[i], sizeof(sum->first[i]), "%s", part->first[i]);
		sum->errors[i] += part->errors[i];
	}
	histogram_add(&sum->latency, &part->latency);
}

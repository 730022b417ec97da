/* SPDX-License-Identifier: MIT */
/* message.c - what is known of a failure beyond its code.
 *
 * A message is immutable and counted, so that an await hands the text of its target on
 * without copying it. Each task has one record, and each thread one for what happens
 * outside tasks; kn_self.message points to the one that counts now. A record belongs to
 * an outcome by its code: who asks about another code is told that nothing is recorded.
 * That can be fooled by an older failure with the same code, never into a wrong code.
 *
 * Formatting comes first and replacing second, because the arguments may be text of the
 * record that is about to be replaced: knit_raise(EIO, "...: %s", knit_error_message(r)). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/alloc.h"
#include "base/error.h"
#include "base/thread.h"

static struct kn_message *new_with_room(const char *file, int line, int code, size_t size)
{
	struct kn_message *message = kn_malloc(sizeof(*message) + size);

	if (message)
		*message = (struct kn_message){.refs = 1, .code = code, .line = line, .file = file};
	return message;
}

static struct kn_message *new_with_text(const char *file, int line, int code, const char *text)
{
	size_t size = strlen(text) + 1;
	struct kn_message *message = new_with_room(file, line, code, size);

	if (message)
		memcpy(message->text, text, size);
	return message;
}

/* Most texts fit the buffer, and are then formatted only once. */
static KN_PRINTF(4, 0) struct kn_message *new_formatted(const char *file, int line, int code,
                                                        const char *format, va_list arguments)
{
	struct kn_message *message;
	char buffer[256];
	va_list again;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(buffer, sizeof(buffer), format, again);
	va_end(again);
	if (length < 0) /* a wide character without a meaning in this locale */
		return new_with_text(file, line, code, knit_strerror(code));
	if ((size_t)length < sizeof(buffer))
		return new_with_text(file, line, code, buffer);
	message = new_with_room(file, line, code, (size_t)length + 1);
	if (message)
		(void)vsnprintf(message->text, (size_t)length + 1, format, arguments);
	return message;
}

struct kn_message *kn_message_new(const char *file, int line, int code, const char *format, ...)
{
	struct kn_message *message;
	va_list arguments;

	if (!format)
		return new_with_text(file, line, code, knit_strerror(code));
	va_start(arguments, format);
	message = new_formatted(file, line, code, format, arguments);
	va_end(arguments);
	return message;
}

struct kn_message *kn_message_ref(struct kn_message *message)
{
	if (message)
		message->refs++;
	return message;
}

void kn_message_drop(struct kn_message *message)
{
	if (--message->refs == 0)
		kn_free(message);
}

void kn_message_record(struct kn_message *message)
{
	struct kn_message **record = kn_self.message ? kn_self.message : &kn_self.own_message;
	struct kn_message *old = *record;

	/* The thread's own record is freed at its end, or not kept at all. */
	if (message && record == &kn_self.own_message && kn_thread_arm_exit() != 0)
		message = kn_message_unref(message);
	*record = message;
	kn_message_unref(old);
}

int kn_fail(int error)
{
	kn_message_record(NULL);
	return error;
}

struct kn_message *kn_message_recorded(intptr_t outcome)
{
	struct kn_message *message = kn_self.message ? *kn_self.message : kn_self.own_message;

	return message && outcome == -(intptr_t)message->code ? message : NULL;
}

intptr_t knit_raise_at(const char *file, int line, int code, const char *format, ...)
{
	int saved_errno = errno; /* for a %m in @format, and for the caller */
	struct kn_message *message;
	va_list arguments;

	if (code < -KNIT_ERRNO_MAX || code > KNIT_ERRNO_MAX || code == 0)
		code = EINVAL;
	if (code < 0)
		code = -code;
	if (format) {
		va_start(arguments, format);
		message = new_formatted(file, line, code, format, arguments);
		va_end(arguments);
	} else {
		message = kn_message_new(file, line, code, NULL);
	}
	/* Also without memory: an older text would be taken for this failure's. */
	kn_message_record(message);
	errno = saved_errno;
	return -code;
}

const char *knit_error_message(intptr_t outcome)
{
	const struct kn_message *message = kn_message_recorded(outcome);

	if (message)
		return message->text;
	return knit_strerror(knit_is_error(outcome) ? (int)outcome : 0);
}

int knit_error_place(intptr_t outcome, const char **ret_file)
{
	const struct kn_message *message = kn_message_recorded(outcome);

	if (ret_file)
		*ret_file = message ? message->file : NULL;
	return message ? message->line : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * reader.h - callbacks for descriptors that are ready, for code that brings its own reads and
 * writes: a library with a descriptor to watch, a protocol driven by callbacks. Tasks have
 * knit_poll() and the calls of socket.h and file.h.
 */
#ifndef KNIT_READER_H
#define KNIT_READER_H

#include <knit/loop.h>

KNIT_BEGIN_DECLS

/* Calls @callback, as a plain callback, in each pass that finds @fd readable (or at its end, or
 * failed), until it is removed. One reader a descriptor: again on the same one replaces, and
 * what the old one was to be told is not told. @fd must stay open: knit_close() refuses it, with
 * -EBUSY, until the reader is removed.
 *
 * Units: none.  Returns: 0.
 * Errors: -EINVAL: no callback; -EBADF; -EBUSY: it is a listener's; -ENOMEM; -KNIT_ENOLOOP;
 *   -KNIT_ECLOSED; -KNIT_EWRONGTHREAD. A failure to watch it later goes to the exception handler,
 *   and the reader is removed.
 * Thread: loop; @loop may be NULL, the running one.  Suspends: no.
 * Ownership: @fd and @arg are borrowed until the reader is removed or the loop closed. */
KNIT_API int knit_loop_add_reader(knit_loop *loop, int fd, knit_callback *callback, void *arg);

/* Removes the reader. It is not called any more, also if @fd is readable already.
 *
 * Units: none.  Returns: 1 if there was one, else 0.
 * Errors: -KNIT_ENOLOOP; -KNIT_EWRONGTHREAD.
 * Thread: loop; @loop may be NULL.  Suspends: no.  Ownership: @fd and the argument are the
 *   caller's again. */
KNIT_API int knit_loop_remove_reader(knit_loop *loop, int fd);

/* As knit_loop_add_reader(): when @fd can be written. The two are independent.
 *
 * Units: none.  Returns: 0.  Errors: as knit_loop_add_reader().
 * Thread: loop; @loop may be NULL.  Suspends: no.  Ownership: as knit_loop_add_reader(). */
KNIT_API int knit_loop_add_writer(knit_loop *loop, int fd, knit_callback *callback, void *arg);

/* Removes the writer.
 *
 * Units: none.  Returns: 1 if there was one, else 0.
 * Errors: as knit_loop_remove_reader().
 * Thread: loop; @loop may be NULL.  Suspends: no.  Ownership: as knit_loop_remove_reader(). */
KNIT_API int knit_loop_remove_writer(knit_loop *loop, int fd);

KNIT_END_DECLS
#endif

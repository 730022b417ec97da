/* SPDX-License-Identifier: MIT */
/*
 * file.h - descriptors: open, read, write, poll, close. What socket.h says of buffers,
 * cancellation and codes holds here too.
 */
#ifndef KNIT_FILE_H
#define KNIT_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <knit/error.h>
#include <knit/macros.h>

KNIT_BEGIN_DECLS

/* Opens @path; the descriptor is close-on-exec. Whether the opening of a FIFO waits for somebody
 * at the other end is up to the kernel.
 *
 * Units: @flags as for open(2); @mode of a file that is created.
 * Returns: the descriptor, >= 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; those of open(2).
 * Thread: loop.  Suspends: always.  Ownership: the descriptor is the caller's. */
KNIT_API KNIT_NODISCARD int knit_open(const char *path, int flags, mode_t mode);

/* Reads what there is. What the kernel has of a file in memory is copied at once; a task that goes
 * on so lets the others run every 64 reads, or megabyte.
 *
 * Units: @size in bytes, at most 0x7ffff000 at a time; @offset in bytes, -1: the file position,
 *   and for what has none.
 * Returns: the bytes read; 0: end of file.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; those of pread(2).
 * Thread: loop.  Suspends: if the data is not in memory or @fd is no file; else now and then.
 * Ownership: @buffer is the kernel's until the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_read(int fd, void *buffer, size_t size, int64_t offset);

/* Writes; like write(2) it may take fewer bytes than it was given. Never raises SIGPIPE.
 *
 * Units: as knit_read().  Returns: the bytes written.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; -EPIPE; those of pwrite(2).
 * Thread: loop.  Suspends: always.  Ownership: @buffer is the kernel's until the return. */
KNIT_API KNIT_NODISCARD intptr_t knit_write(int fd, const void *buffer, size_t size,
                                            int64_t offset);

/* Makes what was written to @fd durable, data and metadata.
 *
 * Units: none.  Returns: 0.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF; those of fsync(2).
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_fsync(int fd);

/* Waits until one of @events is there.
 *
 * Units: @events: POLLIN, POLLOUT, ... of poll(2).
 * Returns: the events that are there, POLLERR and POLLHUP among them.
 * Errors: -KNIT_ECANCELLED; -KNIT_ENOTASK; -KNIT_ECLOSED; -EBADF.
 * Thread: loop.  Suspends: always.  Ownership: none. */
KNIT_API KNIT_NODISCARD int knit_poll(int fd, unsigned events);

/* Ends the operations that tasks of this loop have in flight on @fd (they return what they got,
 * or -EBADF), waits until the kernel has let go of them, and closes @fd. What is begun on @fd
 * meanwhile is -EBADF.
 *
 * Units: none.  Returns: 0; @fd is closed.
 * Errors: -EBADF: no such descriptor, or another task is closing it; -EBUSY: it is a listener's,
 *   use knit_listener_close(); -KNIT_ENOTASK: operations are in flight and this is no task, or no
 *   loop runs: nothing was done; those of close(2), after which @fd is closed all the same.
 * Thread: loop.  Suspends: if operations are in flight; cannot be cancelled (a request stays
 *   pending).  Ownership: @fd is gone. */
KNIT_API int knit_close(int fd);

KNIT_END_DECLS
#endif

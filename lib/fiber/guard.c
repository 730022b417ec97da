/* SPDX-License-Identifier: MIT */
/* guard.c - three kinds of guard, each the fallback of the one before.
 *
 * MADV_GUARD_INSTALL marks the page in the page table alone: a million guards need no
 * mapping of their own. It came with Linux 6.13. It is probed by trial, and the trial looks
 * whether the page is really out of reach, because emulators may accept any advice and
 * do nothing. It also fails for locked memory (mlockall()), which shows page by page.
 *
 * mprotect() splits the mapping in two at each guard. Mappings are a scarce resource that the
 * process shares with all its threads, malloc and shared libraries: at vm.max_map_count
 * everything fails. So guards may take half of them, all pools together.
 *
 * The canary costs nothing: memory that nobody wrote reads as zero, so what is checked is
 * that it still does. Reading maps the kernel's page of zeros, which is no memory of ours.
 * It is found afterwards, at the next check, and only if the overflow wrote there. */
#include "fiber/guard.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fiber/stack_annotate.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Stands for the calling process where a call asks for a descriptor. */
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10001)
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440 /* the same on all machines */
#endif

#define CANARY_SIZE 256
#define GUARDS_MAX  32

/* ---- MADV_GUARD_INSTALL --------------------------------------------------------- */

enum { UNKNOWN, WORKS, MISSING };
static _Atomic int install_state;

/* Can the kernel write to @page? Asked by a call that stores something there and that tools
 * pass on to the kernel as it is. */
static bool is_writable(void *page)
{
	return syscall(SYS_uname, page) == 0;
}

static int probe_install(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	int state = MISSING;
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return UNKNOWN;
	if (is_writable(page) && madvise(page, size, MADV_GUARD_INSTALL) == 0 && !is_writable(page))
		state = WORKS;
	munmap(page, size);
	return state;
}

static bool can_install(void)
{
	int state = atomic_load_explicit(&install_state, memory_order_relaxed);

	if (state == UNKNOWN) {
		/* Two threads may both probe: they find the same. */
		state = probe_install();
		atomic_store_explicit(&install_state, state, memory_order_relaxed);
	}
	return state == WORKS;
}

static bool protect_install(char *page, size_t size)
{
	return can_install() && madvise(page, size, MADV_GUARD_INSTALL) == 0;
}

/* The process may advise itself about many ranges at once since Linux 6.13, and name itself without
 * a descriptor since 6.15. Where that is refused, by an older kernel or by a filter for system
 * calls, it is not asked again. */
size_t kn_guard_install_many(char *page, size_t size, size_t stride, size_t count)
{
	static _Atomic bool refused;
	struct iovec ranges[GUARDS_MAX];
	long r;

	/* valgrind does not know the call. */
	if (atomic_load_explicit(&refused, memory_order_relaxed) || kn_stack_watched() ||
	    !can_install())
		return 0;
	if (count > GUARDS_MAX)
		count = GUARDS_MAX;
	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct iovec){.iov_base = page + i * stride, .iov_len = size};
	r = syscall(SYS_process_madvise, PIDFD_SELF, ranges, count, MADV_GUARD_INSTALL, 0);
	if (r < (long)size) {
		atomic_store_explicit(&refused, true, memory_order_relaxed);
		return 0;
	}
	return (size_t)r / size;
}

/* ---- mprotect ------------------------------------------------------------------- */

#define MAP_COUNT_DEFAULT 65530 /* the kernel's, for where /proc is missing */

static _Atomic size_t mprotect_limit; /* guards; 0: not yet known */
static _Atomic size_t mprotect_count;

static size_t read_mprotect_limit(void)
{
	char text[32];
	ssize_t length = -1;
	long maps = 0;
	int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (length > 0) {
		text[length] = '\0';
		maps = strtol(text, NULL, 10);
	}
	if (maps <= 0)
		maps = MAP_COUNT_DEFAULT;
	return (size_t)maps / 4; /* half of the mappings, two a guard */
}

static bool protect_mprotect(char *page, size_t size)
{
	size_t limit = atomic_load_explicit(&mprotect_limit, memory_order_relaxed);

	if (!limit) {
		limit = read_mprotect_limit();
		atomic_store_explicit(&mprotect_limit, limit, memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&mprotect_count, 1, memory_order_relaxed) < limit &&
	    mprotect(page, size, PROT_NONE) == 0)
		return true;
	atomic_fetch_sub_explicit(&mprotect_count, 1, memory_order_relaxed);
	return false;
}

/* ---- all of them ---------------------------------------------------------------- */

enum kn_guard kn_guard_protect(char *page, size_t size, enum kn_guard first)
{
	if (first <= KN_GUARD_INSTALL && protect_install(page, size))
		return KN_GUARD_INSTALL;
	if (first <= KN_GUARD_MPROTECT && protect_mprotect(page, size))
		return KN_GUARD_MPROTECT;
	return KN_GUARD_CANARY;
}

void kn_guard_forget(enum kn_guard kind)
{
	if (kind == KN_GUARD_MPROTECT)
		atomic_fetch_sub_explicit(&mprotect_count, 1, memory_order_relaxed);
}

/* Not checked: what overflowed may have left red zones of AddressSanitizer here. */
KN_NO_SANITIZE bool kn_guard_canary_intact(const char *low)
{
	const uint64_t *word = (const uint64_t *)(const void *)(low - CANARY_SIZE);
	uint64_t seen = 0;

	for (size_t i = 0; i < CANARY_SIZE / sizeof(*word); i++)
		seen |= word[i];
	return seen == 0;
}

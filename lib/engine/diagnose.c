/* SPDX-License-Identifier: MIT */
/* diagnose.c - why io_uring is not to be had, and what to do about it.
 *
 * The kernel says EPERM for a sysctl as for a container's filter, and ENOMEM for a
 * resource limit; whoever reads the message wants to know which, so we look. */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/error.h"
#include "engine/uring.h"

/* The number in a line "@key<blanks>number" of the file @path, or @otherwise. An empty
 * @key takes the first line. */
static int read_number(const char *path, const char *key, int otherwise)
{
	FILE *file = fopen(path, "re");
	char line[256];
	int number = otherwise;

	if (!file)
		return otherwise;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0 &&
		    sscanf(line + strlen(key), "%d", &number) == 1)
			break;
	fclose(file);
	return number;
}

static bool has_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	return syscall(SYS_capget, &header, data) == 0 && data[0].effective & (1U << CAP_SYS_ADMIN);
}

static bool is_filtered(void)
{
	return read_number("/proc/self/status", "Seccomp:", 0) == 2;
}

static const char *why_not_permitted(void)
{
	int disabled = read_number("/proc/sys/kernel/io_uring_disabled", "", 0);

	if (disabled == 2)
		return "the sysctl kernel.io_uring_disabled is 2 (nobody may use it); "
		       "set it to 0: sysctl -w kernel.io_uring_disabled=0";
	if (disabled == 1 && !has_sys_admin())
		return "the sysctl kernel.io_uring_disabled is 1 (privileged processes only); "
		       "set it to 0, or join the group whose number is in kernel.io_uring_group";
	if (is_filtered())
		return "a seccomp filter forbids it, as containers' default profiles do; run the "
		       "container with a profile that allows io_uring_setup, io_uring_enter and "
		       "io_uring_register (docker run --security-opt seccomp=PROFILE)";
	return "a security module or sandbox forbids it; ask whoever runs this machine to "
	       "allow io_uring";
}

static const char *why_not_there(void)
{
	if (is_filtered())
		return "the kernel has no io_uring, or a seccomp filter hides it; allow "
		       "io_uring_setup, io_uring_enter and io_uring_register in the "
		       "container's or service's profile";
	return "the kernel or sandbox has no io_uring; Linux 6.1 or later built with "
	       "CONFIG_IO_URING is needed";
}

static uint64_t limit(int which, bool *endless)
{
	struct rlimit limit = {0};

	(void)getrlimit((__rlimit_resource_t)which, &limit);
	*endless = limit.rlim_cur == RLIM_INFINITY;
	return limit.rlim_cur;
}

static void no_memory(char *text, size_t size)
{
	bool endless;
	uint64_t bytes = limit(RLIMIT_MEMLOCK, &endless);

	if (endless)
		snprintf(text, size, "the kernel has no memory for it; free some");
	else
		snprintf(text, size,
		         "locked memory is used up (RLIMIT_MEMLOCK is %" PRIu64 " bytes for all "
		         "of the user's processes); raise it (ulimit -l, LimitMEMLOCK=) or run "
		         "fewer loops",
		         bytes);
}

static void no_descriptors(char *text, size_t size)
{
	bool endless;

	snprintf(text, size,
	         "the process has no descriptor left (RLIMIT_NOFILE is %" PRIu64
	         "); close some or raise it (ulimit -n, LimitNOFILE=)",
	         limit(RLIMIT_NOFILE, &endless));
}

void kn_diagnose(char *why, size_t size, const char *call, int error)
{
	char text[320];
	const char *reason = text;

	switch (-error) {
	case EPERM:
		reason = why_not_permitted();
		break;
	case ENOSYS:
		reason = why_not_there();
		break;
	case ENOMEM:
		no_memory(text, sizeof(text));
		break;
	case EMFILE:
		no_descriptors(text, sizeof(text));
		break;
	case ENFILE:
		reason = "the system has no descriptor left; close some or raise the sysctl "
		         "fs.file-max";
		break;
	case EACCES:
		reason = "a security module (SELinux, for one) forbids it; allow the process "
		         "io_uring in its policy";
		break;
	case EINVAL:
		reason = "the kernel's io_uring is too old or cut down; Linux 6.1 or later is "
		         "needed";
		break;
	default:
		reason = "this is not expected; a sandbox may be in the way";
		break;
	}
	snprintf(why, size, "%s: %s: %s", call, knit_strerror(error), reason);
}

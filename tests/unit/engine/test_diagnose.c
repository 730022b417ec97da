/* SPDX-License-Identifier: MIT */
/* test_diagnose.c - where io_uring is not to be had, the error says why and what to do.
 * Each reason is made to happen, in a child process, since most cannot be undone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/uring.h"
#include "rig.h"

/* What making and starting an engine came to in the child. */
struct verdict {
	int result;
	bool unable; /* the situation could not be made */
	unsigned cq_entries;
	char why[512];
};

static void try_engine(struct verdict *verdict)
{
	struct kn_engine *engine = NULL;

	verdict->result = kn_engine_new(&engine, NULL, verdict->why, sizeof(verdict->why));
	if (verdict->result < 0)
		return;
	verdict->cq_entries = engine->ring.cq.ring_entries;
	verdict->result = kn_engine_start(engine, verdict->why, sizeof(verdict->why));
	kn_engine_free(engine);
}

/* Runs @prepare in a child, and if it returns true try_engine(). */
static struct verdict in_child(bool (*prepare)(void))
{
	struct verdict verdict = {0};
	int ends[2], status = 0;
	pid_t child;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		verdict.unable = !prepare();
		if (!verdict.unable)
			try_engine(&verdict);
		_exit(write(ends[1], &verdict, sizeof(verdict)) != sizeof(verdict));
	}
	close(ends[1]);
	cr_assert_eq(read(ends[0], &verdict, sizeof(verdict)), sizeof(verdict));
	close(ends[0]);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	return verdict;
}

static void expect(bool (*prepare)(void), int result, const char *const texts[], const char *unable)
{
	struct verdict verdict = in_child(prepare);

	if (verdict.unable)
		test_skip(unable);
	cr_assert_eq(verdict.result, result, "%d: %s", verdict.result, verdict.why);
	cr_assert_null(strchr(verdict.why, '\n'), "one line: %s", verdict.why);
	cr_assert_lt(strlen(verdict.why), 400);
	for (int i = 0; texts[i]; i++)
		cr_assert(strstr(verdict.why, texts[i]), "no \"%s\" in: %s", texts[i], verdict.why);
}

#define EXPECT(prepare, result, unable, ...) \
	expect((prepare), (result), (const char *const[]){__VA_ARGS__, NULL}, (unable))

/* ---- filters, as containers have them ---- */

/* The system call @number fails with @error from now on. */
static bool filter(int number, int error)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = KN_ARRAY_SIZE(code), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool deny_setup(void)
{
	return filter(__NR_io_uring_setup, EPERM);
}

static bool hide_setup(void)
{
	return filter(__NR_io_uring_setup, ENOSYS);
}

static bool deny_register(void)
{
	return filter(__NR_io_uring_register, EPERM);
}

static bool deny_enter(void)
{
	return filter(__NR_io_uring_enter, EPERM);
}

static bool deny_access(void)
{
	return filter(__NR_io_uring_setup, EACCES);
}

static bool no_files(void)
{
	return filter(__NR_io_uring_setup, ENFILE);
}

static bool odd(void)
{
	return filter(__NR_io_uring_setup, EOPNOTSUPP);
}

static const char no_filters[] = "seccomp filters cannot be set here";

Test(engine_diagnose, a_filter_that_denies_is_named)
{
	EXPECT(deny_setup, -EPERM, no_filters, "io_uring_setup", "seccomp", "profile",
	       "--security-opt");
}

Test(engine_diagnose, a_filter_that_hides_is_named)
{
	EXPECT(hide_setup, -ENOSYS, no_filters, "io_uring_setup", "seccomp", "allow");
}

Test(engine_diagnose, a_filter_that_denies_only_the_later_calls_is_named_too)
{
	EXPECT(deny_register, -EPERM, no_filters, "io_uring_register", "seccomp");
	EXPECT(deny_enter, -EPERM, no_filters, "io_uring_enter", "seccomp");
}

Test(engine_diagnose, a_security_module_is_suspected_of_eacces)
{
	EXPECT(deny_access, -EACCES, no_filters, "SELinux", "policy");
}

Test(engine_diagnose, the_systems_limit_of_descriptors_is_named)
{
	EXPECT(no_files, -ENFILE, no_filters, "fs.file-max");
}

Test(engine_diagnose, an_error_that_nobody_expects_is_told_as_it_is)
{
	EXPECT(odd, -EOPNOTSUPP, no_filters, "io_uring_setup", strerror(EOPNOTSUPP));
}

/* ---- the sysctl ---- */

/* Puts a file with @text where the sysctl is, for this process alone. */
static bool pretend_sysctl(const char *text)
{
	char path[] = "/tmp/engine-test-XXXXXX";
	int fd = mkstemp(path);
	bool done = fd >= 0 && fchmod(fd, 0644) == 0 &&
	            write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
	            unshare(CLONE_NEWNS) == 0 &&
	            mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	            mount(path, "/proc/sys/kernel/io_uring_disabled", "none", MS_BIND, NULL) == 0;

	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return done;
}

static bool disabled_for_all(void)
{
	return pretend_sysctl("2\n") && deny_setup();
}

static bool disabled_for_users(void)
{
	return pretend_sysctl("1\n") && setuid(65534) == 0 && deny_setup();
}

static bool disabled_for_users_not_us(void)
{
	return pretend_sysctl("1\n") && deny_setup();
}

Test(engine_diagnose, the_sysctl_is_named_where_it_is_the_reason)
{
	static const char unable[] = "mounting over the sysctl takes root";

	EXPECT(disabled_for_all, -EPERM, unable, "kernel.io_uring_disabled is 2",
	       "sysctl -w kernel.io_uring_disabled=0");
	EXPECT(disabled_for_users, -EPERM, unable, "kernel.io_uring_disabled is 1",
	       "kernel.io_uring_group");
	EXPECT(disabled_for_users_not_us, -EPERM, unable, "seccomp");
}

/* ---- limits ---- */

static bool few_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 3;
	return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

Test(engine_diagnose, the_limit_of_descriptors_is_named)
{
	EXPECT(few_descriptors, -EMFILE, "the limit cannot be set", "RLIMIT_NOFILE is 3",
	       "ulimit -n");
}

/* Makes this process that of a user with no other: memory is counted for all that a user runs. */
static bool become_somebody(void)
{
	return setuid(1000000 + (uid_t)getpid()) == 0;
}

/* Does the kernel count rings as locked memory? For root it does not. */
static bool no_locked_memory(void)
{
	struct rlimit limit = {0, 0};
	struct kn_engine *engine = NULL;
	char why[512];

	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || !become_somebody())
		return false;
	if (kn_engine_new(&engine, NULL, why, sizeof(why)) != 0)
		return true;
	kn_engine_free(engine);
	return false;
}

Test(engine_diagnose, the_limit_of_locked_memory_is_named)
{
	EXPECT(no_locked_memory, -ENOMEM, "takes root, and a kernel that counts rings",
	       "RLIMIT_MEMLOCK is 0 bytes", "ulimit -l");
}

/* Enough for small rings only. */
static bool little_locked_memory(void)
{
	struct rlimit limit = {65536, 65536};

	return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && become_somebody();
}

Test(engine_diagnose, with_little_locked_memory_the_ring_is_smaller)
{
	struct verdict verdict = in_child(little_locked_memory);

	if (verdict.unable || verdict.cq_entries == 4096)
		test_skip("takes root, and a kernel that counts rings");
	cr_assert_eq(verdict.result, 0, "%s", verdict.why);
	cr_assert_geq(verdict.cq_entries, 256);
	cr_assert_lt(verdict.cq_entries, 4096);
}

/* The kernel counts a ring for a while after it was closed. */
static bool many_after_each_other(void)
{
	struct rlimit limit = {300000, 300000};
	char why[512];

	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || !become_somebody())
		return false;
	for (long i = test_scale(50, 50, 50, 20); i > 0; i--) {
		struct kn_engine *engine = NULL;

		/* Waiting is the engine's; a machine that is kept busy by others gets more. */
		for (int tries = 0; kn_engine_new(&engine, NULL, why, sizeof(why)) < 0; tries++)
			if (tries == 20)
				_exit(1);
		kn_engine_free(engine);
	}
	return true;
}

Test(engine_diagnose, engines_made_one_after_the_other_do_not_use_the_memory_up)
{
	struct verdict verdict = in_child(many_after_each_other);

	if (verdict.unable)
		test_skip("takes root");
	cr_assert_eq(verdict.result, 0, "%s", verdict.why);
}

/* Makes as many as there is memory for; the next one is told why not. */
static bool used_up(void)
{
	enum { MOST = 64 };
	static struct kn_engine *engines[MOST];
	struct rlimit limit = {1 << 20, 1 << 20};
	char why[512];
	int count = 0;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || !become_somebody())
		return false;
	while (count < MOST && kn_engine_new(&engines[count], NULL, why, sizeof(why)) == 0)
		count++;
	if (count == MOST)
		return false;
	for (int i = 0; i < count; i++) {
		struct probe nop = probe_of(KN_OP_NOP, -1);

		if (kn_engine_start(engines[i], why, sizeof(why)) != 0)
			_exit(1);
		(void)probe_run(engines[i], &nop);
	}
	return count >= 4;
}

Test(engine_diagnose, engines_work_until_the_memory_is_used_up_and_the_next_says_so)
{
	EXPECT(used_up, -ENOMEM, "takes root, and a kernel that counts rings",
	       "RLIMIT_MEMLOCK is 1048576 bytes", "fewer loops");
}

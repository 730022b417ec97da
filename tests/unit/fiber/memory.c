/* SPDX-License-Identifier: MIT */
/* memory.c - what the kernel says of this process's memory. */
#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fiber/guard.h"
#include "test.h"

size_t memory_status(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	size_t kilobytes = 0, length = strlen(name);

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			sscanf(line + length + 1, "%zu", &kilobytes);
	fclose(file);
	return kilobytes * 1024;
}

size_t memory_mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "r");
	size_t count = 0;
	int byte;

	cr_assert_not_null(file);
	while ((byte = getc(file)) != EOF)
		count += byte == '\n';
	fclose(file);
	return count;
}

bool memory_has_flag(const void *address, const char *flag)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	bool inside = false, found = false;
	char line[512];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long low, high;

		if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
			inside = (uintptr_t)address >= low && (uintptr_t)address < high;
		else if (inside && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, flag) != NULL;
	}
	fclose(file);
	return found;
}

bool memory_guard_install_works(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum kn_guard kind;

	cr_assert_neq(page, MAP_FAILED);
	kind = kn_guard_protect(page, size, KN_GUARD_INSTALL);
	kn_guard_forget(kind);
	munmap(page, size);
	return kind == KN_GUARD_INSTALL;
}

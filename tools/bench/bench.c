/* SPDX-License-Identifier: MIT */
/* bench.c - CPUs, memory and output: what workloads measure with. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"

static cpu_set_t allowed;

void bench_remember_cpus(void)
{
	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		return;
	/* More CPUs than fit: the first will do. */
	CPU_ZERO(&allowed);
	CPU_SET(0, &allowed);
}

unsigned bench_cpus(void)
{
	return (unsigned)CPU_COUNT(&allowed);
}

void bench_pin(unsigned index)
{
	cpu_set_t one;
	int cpu = -1;

	index %= bench_cpus();
	do {
		cpu++;
	} while (!CPU_ISSET(cpu, &allowed) || index-- > 0);
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		bench_die("sched_setaffinity");
}

/* The number of kB behind @key in a file of /proc; 0 if it is not there. */
static long kilobytes(const char *path, const char *key)
{
	char line[256];
	long value = 0;
	FILE *file = fopen(path, "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) == 0) {
			value = strtol(line + strlen(key), NULL, 10);
			break;
		}
	}
	fclose(file);
	return value;
}

long bench_mem_bytes(void)
{
	return (kilobytes("/proc/self/status", "VmRSS:") +
	        kilobytes("/proc/self/status", "VmPTE:")) *
	       1024;
}

long bench_mem_available(void)
{
	return kilobytes("/proc/meminfo", "MemAvailable:") * 1024;
}

void bench_die(const char *what)
{
	fprintf(stderr, "knit-bench: %s: %s\n", what, strerror(errno));
	_exit(1);
}

void bench_emit(const char *peer, const char *workload, double value, const char *unit)
{
	printf("%s %s %.4g %s\n", peer, workload, value, unit);
	fflush(stdout);
}

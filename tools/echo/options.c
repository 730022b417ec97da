/* SPDX-License-Identifier: MIT */
/* options.c - the command line of knit-echo: how many loops, on which CPUs, at which address. */
#include "options.h"
#include "http.h"
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
        "usage: knit-echo [options]\n"
        "Serves TCP echo: a loop per thread, a thread per CPU, a task per connection.\n"
        "With --http it answers every HTTP request with a greeting instead.\n"
        "\n"
        "  -l, --loops N         loops, one thread each (default: one for each allowed CPU)\n"
        "  -c, --cpus LIST       CPUs for the loops, such as 0-3,8 (default: the allowed ones)\n"
        "  -p, --port PORT       port; 0 lets the kernel pick one (default: 0)\n"
        "  -H, --host HOST       address to listen on (default: 127.0.0.1)\n"
        "  -m, --message-size N  bytes of the buffer of a connection (default: 16384)\n"
        "  -w, --http            HTTP/1.1 with keep-alive and pipelining, not echo\n"
        "  -s, --stats           print what each loop did, at the end\n"
        "  -h, --help            this text\n"
        "\n"
        "SIGINT or SIGTERM: stops accepting, lets connections finish what they have received,\n"
        "closes. A second signal hurries: connections are cut.\n";

/* The number in @text, or -1 after an error message. */
static long number(const char *option, const char *text, long min, long max)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || *end || end == text || value < min || value > max) {
		fprintf(stderr, "knit-echo: %s takes a number from %ld to %ld, not '%s'\n", option,
		        min, max, text);
		return -1;
	}
	return value;
}

/* Reads a list in the kernel's syntax into @set. 0, or -1 after an error message. */
static int parse_cpus(const char *text, cpu_set_t *set)
{
	const char *p = text;

	CPU_ZERO(set);
	while (*p) {
		char *end;
		long first = strtol(p, &end, 10), last = first;

		if (end == p)
			goto bad;
		if (*end == '-') {
			p = end + 1;
			last = strtol(p, &end, 10);
			if (end == p)
				goto bad;
		}
		if (first < 0 || last < first || last >= CPU_SETSIZE || (*end && *end != ','))
			goto bad;
		for (long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, set);
		p = *end ? end + 1 : end;
	}
	if (CPU_COUNT(set) > 0)
		return 0;
bad:
	fprintf(stderr, "knit-echo: --cpus takes a list such as 0-3,8, not '%s'\n", text);
	return -1;
}

/* Gives each loop a CPU of @wanted that the process may use, in turn. */
static int assign_cpus(struct options *options, const cpu_set_t *wanted, bool asked)
{
	cpu_set_t allowed, usable;
	unsigned count;
	int cpu = -1;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0) {
		perror("knit-echo: sched_getaffinity");
		return -1;
	}
	usable = allowed;
	if (asked)
		CPU_AND(&usable, &allowed, wanted);
	if (asked && !CPU_EQUAL(&usable, wanted))
		fprintf(stderr, "knit-echo: warning: some CPUs of --cpus are not allowed here; "
		                "using the others\n");
	count = (unsigned)CPU_COUNT(&usable);
	if (count == 0) {
		fprintf(stderr, "knit-echo: none of the CPUs of --cpus is allowed here\n");
		return -1;
	}
	if (!options->loops)
		options->loops = count;
	if (options->loops > count)
		fprintf(stderr, "knit-echo: warning: %u loops share %u CPUs\n", options->loops,
		        count);
	options->cpus = malloc(options->loops * sizeof(*options->cpus));
	if (!options->cpus) {
		perror("knit-echo");
		return -1;
	}
	for (unsigned i = 0; i < options->loops; i++) {
		do
			cpu = (cpu + 1) % CPU_SETSIZE;
		while (!CPU_ISSET(cpu, &usable));
		options->cpus[i] = cpu;
	}
	return 0;
}

static int resolve(struct options *options, const char *host, const char *port)
{
	struct addrinfo hints = {
	        .ai_flags = AI_PASSIVE,
	        .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	int r = getaddrinfo(host, port, &hints, &found);

	if (r) {
		fprintf(stderr, "knit-echo: %s: %s\n", host, gai_strerror(r));
		return -1;
	}
	memcpy(&options->address, found->ai_addr, found->ai_addrlen);
	options->address_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

int options_parse(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
	        {"loops", required_argument, NULL, 'l'},
	        {"cpus", required_argument, NULL, 'c'},
	        {"port", required_argument, NULL, 'p'},
	        {"host", required_argument, NULL, 'H'},
	        {"message-size", required_argument, NULL, 'm'},
	        {"http", no_argument, NULL, 'w'},
	        {"stats", no_argument, NULL, 's'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	const char *host = "127.0.0.1", *port = "0";
	cpu_set_t wanted;
	bool asked = false;
	long value = 0;
	int c;

	*options = (struct options){.message_size = 16384};
	CPU_ZERO(&wanted);
	while ((c = getopt_long(argc, argv, "l:c:p:H:m:wsh", names, NULL)) != -1) {
		switch (c) {
		case 'l':
			value = number("--loops", optarg, 1, 1024);
			options->loops = (unsigned)value;
			break;
		case 'c':
			asked = true;
			value = parse_cpus(optarg, &wanted);
			break;
		case 'p':
			value = number("--port", optarg, 0, UINT16_MAX);
			port = optarg;
			break;
		case 'H':
			host = optarg;
			break;
		case 'm':
			value = number("--message-size", optarg, 1, 1 << 24);
			options->message_size = (size_t)value;
			break;
		case 'w':
			options->http = true;
			break;
		case 's':
			options->stats = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			fputs("knit-echo: try --help\n", stderr);
			value = -1;
		}
		if (value < 0)
			return -1;
	}
	if (optind < argc) {
		fprintf(stderr, "knit-echo: unexpected argument '%s'\n", argv[optind]);
		return -1;
	}
	if (options->http && options->message_size < HTTP_BUFFER_MIN)
		options->message_size = HTTP_BUFFER_MIN;
	if (resolve(options, host, port) < 0)
		return -1;
	return assign_cpus(options, &wanted, asked);
}

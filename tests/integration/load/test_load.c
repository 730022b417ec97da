/* SPDX-License-Identifier: MIT */
/* test_load.c - knit-load against a peer that is right and peers that are wrong.
 *
 * A yardstick that says "no errors" to everything is worse than none, so most tests
 * give it a server with one fault and ask for the exact count of the right kind. Runs
 * are bounded by a number of messages where that is possible; no test asserts a time. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "../command.h"
#include "peer.h"
#include "test.h"

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

#define expect_in(part, command_)                                                                 \
	cr_expect(has((command_)->out, (part)), "'%s' is not in:\n%s%s", (part), (command_)->out, \
	          (command_)->err)

/* A run that must succeed: @messages messages of @connections connections, all of which
 * the peer sees closed in order. */
static void good_run(int family, const char *host, const char *options, unsigned connections,
                     unsigned messages)
{
	struct command command;
	char text[80];
	struct peer *peer = peer_start(family, PEER_ECHO, 0);

	if (!peer)
		test_skip("no loopback of this address family");
	command_run(&command, "knit-load", "--host %s --port %u --connections %u --requests %u %s",
	            host, peer_port(peer), connections, messages, options);
	cr_expect_eq(command.status, 0, "%s%s", command.out, command.err);
	snprintf(text, sizeof(text), "connections   %u of %u opened", connections, connections);
	expect_in(text, &command);
	snprintf(text, sizeof(text), "sent          %u messages", messages);
	expect_in(text, &command);
	snprintf(text, sizeof(text), "received      %u messages", messages);
	expect_in(text, &command);
	snprintf(text, sizeof(text), "measured      %u messages", messages);
	expect_in(text, &command);
	expect_in("errors        0\n", &command);
	cr_expect_str_eq(command.err, "", "%s", command.err);
	command_free(&command);
	cr_expect_geq(peer_stop(peer), connections);
}

Test(load, counts_every_message_of_a_good_peer)
{
	good_run(AF_INET, "127.0.0.1", "--quiet", 8, 4001);
}

Test(load, works_over_ipv6)
{
	good_run(AF_INET6, "::1", "--quiet", 4, 400);
}

Test(load, finds_the_family_that_a_name_answers_on)
{
	good_run(AF_INET, "localhost", "--quiet", 4, 400);
}

Test(load, handles_messages_of_one_byte)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --size 1", 3, 3000);
}

Test(load, handles_messages_larger_than_every_buffer)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --size 1M", 3, 12);
}

Test(load, handles_a_size_that_divides_nothing_and_depth)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --size 100003 --depth 7", 3, 60);
}

Test(load, keeps_sixteen_messages_outstanding)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --depth 16", 4, 6400);
}

Test(load, shares_connections_among_threads)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --threads 3", 8, 4000);
}

Test(load, polls_without_sleeping)
{
	good_run(AF_INET, "127.0.0.1", "--quiet --spin", 2, 400);
}

Test(load, opens_two_thousand_connections)
{
	unsigned connections = (unsigned)test_scale(2000, 500, 200, 100);
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < connections + 64)
		test_skip("the hard limit of descriptors is too low");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	good_run(AF_INET, "127.0.0.1", "--quiet", connections, connections * 3);
}

Test(load, raises_the_soft_limit_of_descriptors)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < 400)
		test_skip("the hard limit of descriptors is too low");
	command_limit_descriptors(100);
	good_run(AF_INET, "127.0.0.1", "--quiet", 140, 140);
}

Test(load, says_when_the_hard_limit_of_descriptors_is_too_low)
{
	struct rlimit limit = {.rlim_cur = 100, .rlim_max = 100};
	struct command command;

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		test_skip("this limit cannot be lowered here (valgrind keeps descriptors)");
	command_run(&command, "knit-load", "--port 9 --connections 100");
	cr_expect_eq(command.status, 2);
	cr_expect(has(command.err, "the hard limit is 100"), "%s", command.err);
	command_free(&command);
}

/* A peer whose first connection of four is wrong: one error of the kind @name, with
 * @detail on stderr; the other three get all their replies. */
static void one_fault(enum peer_fault fault, size_t place, const char *options, const char *name,
                      const char *detail)
{
	struct command command;
	char text[80];
	struct peer *peer = peer_start(AF_INET, fault, place);

	command_run(&command, "knit-load", "--port %u --connections 4 --requests 400 --quiet %s",
	            peer_port(peer), options);
	cr_expect_eq(command.status, 1, "%s%s", command.out, command.err);
	expect_in("errors        1\n", &command);
	snprintf(text, sizeof(text), "  %-18s 1\n", name);
	expect_in(text, &command);
	cr_expect(has(command.err, detail), "'%s' is not in: %s", detail, command.err);
	command_free(&command);
	cr_expect_geq(peer_stop(peer), 3u);
}

Test(load, notices_one_wrong_bit)
{
	/* Byte 20 of message 50. */
	one_fault(PEER_CORRUPT, 50 * 64 + 20, "", "mismatch", "message 50, byte 20: sent 0x");
}

Test(load, notices_one_wrong_bit_of_a_large_message)
{
	one_fault(PEER_CORRUPT, 300001, "--size 200K", "mismatch", "message 1, byte 95201: sent");
}

Test(load, notices_one_wrong_bit_of_a_one_byte_message)
{
	one_fault(PEER_CORRUPT, 50, "--size 1", "mismatch", "message 50, byte 0: sent 0x");
}

Test(load, names_the_message_that_came_again)
{
	one_fault(PEER_REPEAT, 50 * 64, "", "mismatch", "message 50 and received message 0 of");
}

Test(load, notices_a_peer_that_closes_in_a_reply)
{
	one_fault(PEER_CLOSE, 10 * 64 + 7, "", "short",
	          "was closed after 10 replies and 7 bytes of the next");
}

Test(load, notices_a_reset)
{
	one_fault(PEER_RESET, 10 * 64, "", "reset", "Connection reset by peer");
}

Test(load, notices_a_byte_too_many)
{
	/* In the last of a connection's 100 replies, so that no further message makes the
	 * byte one that is wrong. */
	one_fault(PEER_SURPLUS, 99 * 64, "", "surplus", "received 1 bytes that answer nothing");
}

Test(load, does_not_wait_for_ever_for_a_reply)
{
	one_fault(PEER_SILENT, 10 * 64, "--timeout 0.2", "timeout", "waited in vain for 1 replies");
}

Test(load, counts_connections_that_the_peer_keeps)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_STAYS, 0);

	command_run(&command, "knit-load", "--port %u --connections 4 --requests 400 --quiet",
	            peer_port(peer));
	cr_expect_eq(command.status, 0, "%s", command.err);
	expect_in("unclosed      1 connections", &command);
	command_free(&command);
	cr_expect_eq(peer_stop(peer), 4u);
}

Test(load, counts_refused_connections)
{
	/* Bound, so that nobody else gets the port, but not listening. */
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	struct command command;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	command_run(&command, "knit-load", "--port %u --connections 5 --duration 600 --quiet",
	            ntohs(address.sin_port));
	cr_expect_eq(command.status, 1);
	expect_in("connections   0 of 5 opened", &command);
	expect_in("  connect refused    5\n", &command);
	cr_expect(has(command.err, "Connection refused"), "%s", command.err);
	command_free(&command);
	close(fd);
}

Test(load, counts_connects_that_time_out)
{
	/* A full backlog drops what comes next; of eight connects most get no answer. */
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	struct command command;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(listen(fd, 0), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	command_run(&command, "knit-load",
	            "--port %u --connections 8 --requests 8 --timeout 0.1 --quiet",
	            ntohs(address.sin_port));
	cr_expect_eq(command.status, 1);
	expect_in("errors        8\n", &command);
	expect_in("  connect timed out  ", &command);
	command_free(&command);
	close(fd);
}

Test(load, measures_for_a_duration)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_ECHO, 0);

	command_run(&command, "knit-load",
	            "--port %u --connections 4 --warmup 0.05 --duration 0.25 --quiet",
	            peer_port(peer));
	cr_expect_eq(command.status, 0, "%s%s", command.out, command.err);
	expect_in(" messages in 0.250 s\n", &command);
	expect_in("errors        0\n", &command);
	command_free(&command);
	cr_expect_eq(peer_stop(peer), 4u);
}

Test(load, tells_its_progress)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_ECHO, 0);

	command_start(&command, "knit-load", "--port %u --connections 4 --duration 600",
	              peer_port(peer));
	command_wait_for_line(&command, " s  4 open  ");
	kill(command.pid, SIGINT);
	command_wait(&command);
	cr_expect_eq(command.status, 0, "%s", command.err);
	command_free(&command);
	peer_stop(peer);
}

Test(load, ends_early_and_in_order_on_sigint)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_ECHO, 0);

	command_start(&command, "knit-load", "--port %u --connections 4 --duration 600 --quiet",
	              peer_port(peer));
	peer_wait_for_bytes(peer, 100 * 64);
	kill(command.pid, SIGINT);
	command_wait(&command);
	cr_expect_eq(command.status, 0, "%s%s", command.out, command.err);
	expect_in("connections   4 of 4 opened", &command);
	expect_in("errors        0\n", &command);
	command_free(&command);
	cr_expect_eq(peer_stop(peer), 4u);
}

Test(load, abandons_replies_on_a_second_sigint)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_SILENT, 0);

	command_start(&command, "knit-load",
	              "--port %u --connections 2 --duration 600 --timeout 600 --quiet",
	              peer_port(peer));
	peer_wait_for_bytes(peer, 100 * 64);
	kill(command.pid, SIGINT);
	kill(command.pid, SIGTERM); /* another signal, so that the two do not merge */
	command_wait(&command);
	cr_expect_eq(command.status, 1, "%s%s", command.out, command.err);
	expect_in("  timeout            ", &command);
	command_free(&command);
	peer_stop(peer);
}

Test(load, prints_json)
{
	struct command command;
	struct peer *peer = peer_start(AF_INET, PEER_ECHO, 0);

	command_run(&command, "knit-load", "--port %u --connections 2 --requests 50 --quiet --json",
	            peer_port(peer));
	cr_expect_eq(command.status, 0);
	cr_expect_eq(command.out[0], '{');
	expect_in("\"host\": \"127.0.0.1\"", &command);
	expect_in("\"sent\": 50, \"received\": 50,", &command);
	expect_in("\"mismatch\": 0", &command);
	expect_in("\"p999\": ", &command);
	command_free(&command);
	peer_stop(peer);
}

Test(load, prints_help)
{
	struct command command;
	command_run(&command, "knit-load", "--help");
	cr_expect_eq(command.status, 0);
	expect_in("Usage: knit-load", &command);
	expect_in("--connections N", &command);
	command_free(&command);
}

Test(load, refuses_bad_options)
{
	static const struct {
		const char *arguments, *text;
	} cases[] = {
	        {"", "--port is required"},
	        {"--port 0", "--port '0': expected 1 .. 65535"},
	        {"--port 65536", "--port '65536'"},
	        {"--port 80x", "--port '80x'"},
	        {"--port -1", "--port '-1'"},
	        {"--port 1 --connections 0", "--connections '0'"},
	        {"--port 1 --connections 4294967297", "--connections '4294967297'"},
	        {"--port 1 --size 0", "--size '0': expected 1 .. 16777216 bytes"},
	        {"--port 1 --size 17M", "--size '17M'"},
	        {"--port 1 --size 1G", "--size '1G'"},
	        {"--port 1 --size K", "--size 'K'"},
	        {"--port 1 --depth 0", "--depth '0'"},
	        {"--port 1 --duration 0", "--duration '0'"},
	        {"--port 1 --duration nan", "--duration 'nan'"},
	        {"--port 1 --duration 1e3", "--duration '1e3'"},
	        {"--port 1 --duration 1.2.3", "--duration '1.2.3'"},
	        {"--port 1 --requests 10", "--requests is below --connections"},
	        {"--port 1 --requests 100 --warmup 1", "exclude each other"},
	        {"--port 1 --threads 65", "--threads is above --connections"},
	        {"--port 1 --threads 257", "--threads '257'"},
	        {"--port 1 --colour", "--colour"},
	        {"--port 1 --spin=yes", "--spin"},
	        {"--port", "--port"},
	        {"--port 1 server", "'server' is not an option"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct command command;
		command_run(&command, "knit-load", "%s", cases[i].arguments);
		cr_expect_eq(command.status, 2, "%s", cases[i].arguments);
		cr_expect(has(command.err, cases[i].text), "%s: %s", cases[i].arguments,
		          command.err);
		cr_expect_str_eq(command.out, "");
		command_free(&command);
	}
}

Test(load, says_when_a_name_is_unknown)
{
	struct command command;
	/* Not a name that a resolver would ask the network for. */
	command_run(&command, "knit-load", "--host 300.1.2.3.4:x --port 1");
	cr_expect_eq(command.status, 1);
	cr_expect(has(command.err, "knit-load: 300.1.2.3.4:x: "), "%s", command.err);
	command_free(&command);
}

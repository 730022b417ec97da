# SPDX-License-Identifier: MIT
"""What there is to run: single programs that measure themselves (jobs), and servers.

What is not installed or not built is left out, with a line on stderr."""
import os, shutil, sys

HERE = os.path.dirname(os.path.abspath(__file__))
# The system's Python first: it is the one that Debian's uvloop belongs to.
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
SLOW = {"W4", "W4t", "W4c", "W4co", "W4spawn", "W3=20000", "W3=100000", "W3=1000000", "W3co=100000",
        "W3spawn=100000", "W3co=1000000", "W3spawn=1000000", "W3_idle_1M", "W3_idle_100k",
        "W4_sleep_task", "W4_timer_cb"}
ONE_CPU, TWO_CPUS = ["taskset", "-c", "0"], ["taskset", "-c", "0,1"]


class Job:
    """A program that prints lines PEER WORKLOAD VALUE UNIT and ends."""

    def __init__(self, program, workload, argv, cpus):
        self.label, self.workload = program + ":" + workload, workload
        self.argv, self.slow, self.once = cpus + argv, workload in SLOW, "1000000" in workload or "1M" in workload


class Server:
    """A program that serves until it is killed; {proto} and {port} in its arguments are filled in."""

    def __init__(self, name, argv, protocols, port_zero=True):
        self.name, self.argv, self.protocols, self.port_zero = name, argv, protocols.split(), port_zero


def have_module(name):
    return os.system(f"{PYTHON} -c 'import {name}' 2> /dev/null") == 0


class Catalogue:
    def __init__(self, build, knit):
        self.build, self.knit = build, knit
        self.jobs, self.servers, self.missing = [], [], []
        self.raw()
        self.knit_programs()
        self.peers()
        self.python()
        self.nginx()

    def program(self, name):
        """The path of a built program, None with a note if it is not there."""
        path = os.path.join(self.build, name)
        if os.access(path, os.X_OK):
            return path
        self.missing.append(name)
        return None

    def add_jobs(self, argv, workloads, cpus=ONE_CPU, label=None):
        for w in workloads.split():
            self.jobs.append(Job(label or os.path.basename(argv[0]), w, argv + w.split("="), cpus))

    def raw(self):
        core, cross, srv = self.program("raw_core"), self.program("raw_cross"), self.program("raw_srv")
        if core:
            self.add_jobs([core], "W1 W2 W2c W3=100000 W3=1000000 W4 W4t W4c W5 W7")
        if cross:
            self.add_jobs([cross], "W6 W6b", TWO_CPUS)
        if srv:
            for name, form in (("raw-epoll", "epoll"), ("raw-uring", "uring"), ("raw-uring-1shot", "uring1")):
                self.servers.append(Server(name, [srv, form, "{proto}", "{port}"], "echo http"))

    def knit_programs(self):
        bench = os.path.join(self.knit, "knit-bench") if self.knit else None
        echo = os.path.join(self.knit, "knit-echo") if self.knit else None
        if not bench or not os.access(bench, os.X_OK):
            self.missing.append("knit-bench")
        else:
            for w in ("W1_yield W2_spawn_join W2b_spawn_batch_cold W2b_spawn_batch_warm W3_idle_100k "
                      "W3_idle_1M W4_sleep_task W4_timer_cb W4b_cancel W5_call_soon W6_pingpong* W6b_post "
                      "W7_queue_1 W7_queue_128").split():
                argv = [bench, "--runs", "1", "--peer", "knit", "--workload", w]
                self.jobs.append(Job("knit-bench", w, argv, TWO_CPUS if w.startswith("W6") else ONE_CPU))
        if not echo or not os.access(echo, os.X_OK):
            self.missing.append("knit-echo")
        else:
            argv = [echo, "--loops", "1", "--cpus", "0", "--port", "{port}"]
            self.servers.append(Server("knit", argv, "echo"))
            self.servers.append(Server("knit", argv + ["--http"], "http"))

    def peers(self):
        for name, workloads, cross in (
                ("fiber_bench", "W1 W2 W3=100000 W3=1000000 W4 W7", ""),
                ("asio_bench", "W1 W2 W3co=100000 W3spawn=100000 W3co=1000000 W3spawn=1000000 W4 W4co W4spawn "
                               "W4b W5 W7", "W6 W6b"),
                ("uv_bench", "W4 W4b W5", "W6 W6b"),
                ("st_bench", "W1 W2 W3=20000 W4", ""),
                ("go_bench", "W1 W2 W3=100000 W3=1000000 W4 W4t W4b W5 W7", "W6 W6b"),
                ("tokio_bench", "W1 W2 W3=100000 W3=1000000 W4 W4b W5 W7", "W6 W6b")):
            path = self.program(name)
            if path:
                self.add_jobs([path], workloads)
                self.add_jobs([path], cross, TWO_CPUS)
        path = lambda name: os.path.join(self.build, name)
        servers = [Server("libuv", [path("uv_bench"), "{proto}", "{port}"], "echo http")]
        servers += [Server("asio-" + k, [path("asio_bench"), "{proto}", k, "{port}"], "echo http")
                    for k in ("cb", "co", "spawn")]
        servers += [Server("go", [path("go_bench"), "{proto}", "{port}"], "echo http"),
                    Server("tokio", [path("tokio_bench"), "{proto}", "{port}"], "echo http"),
                    Server("state-threads", [path("st_bench"), "echo", "{port}"], "echo")]
        self.servers += [s for s in servers if os.access(s.argv[0], os.X_OK)]

    def python(self):
        script = os.path.join(HERE, "aio_bench.py")
        for kind in ("asyncio", "uvloop"):
            if not have_module(kind):
                self.missing.append(kind)
                continue
            argv = [PYTHON, script, kind]
            self.add_jobs(argv, "W1 W2 W3=100000 W3=1000000 W4 W4t W4b W5 W7", label=kind)
            self.add_jobs(argv, "W6 W6b", TWO_CPUS, label=kind)
            self.servers.append(Server(kind + "-protocol", argv + ["{proto}", "{port}"], "echo http"))
            self.servers.append(Server(kind + "-streams", argv + ["streams", "{port}"], "echo"))

    def nginx(self):
        if not shutil.which("nginx"):
            self.missing.append("nginx")
            return
        argv = ["nginx", "-p", self.build, "-c", "nginx-{port}.conf"]
        self.servers.append(Server("nginx", argv, "http", port_zero=False))

    def serving(self, protocol):
        return [s for s in self.servers if protocol in s.protocols]

    def file_jobs(self, path, direct, seconds):
        """W11: 32 random reads of 4 KiB in flight."""
        d, secs = "01"[direct], str(seconds)
        jobs = []
        raw, uv, go = (os.path.join(self.build, p) for p in ("raw_file", "uv_bench", "go_bench"))
        if os.access(raw, os.X_OK):
            jobs += [[raw, form, path, d, secs] for form in ("uring", "uringb", "pread")]
        jobs += [[p, "file", path, d, secs] for p in (uv, go) if os.access(p, os.X_OK)]
        bench = os.path.join(self.knit, "knit-bench") if self.knit else ""
        if os.access(bench, os.X_OK):
            jobs.append([bench, "file", "--peer", "knit", "--file", path, "--seconds", secs, "--runs", "1",
                         "--workload", "W11_file_" + ("direct" if direct else "cached")])
        return jobs

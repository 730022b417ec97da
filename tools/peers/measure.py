# SPDX-License-Identifier: MIT
"""Running one thing and reading what it did: jobs, servers under load, the CPU time that they take."""
import json, os, re, socket, subprocess, sys, time
from catalogue import ONE_CPU

NGINX = """daemon off; master_process off; worker_processes 1; pid nginx-%(p)d.pid; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path tmp; proxy_temp_path tmp;
 fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp; default_type text/plain;
 server { listen 127.0.0.1:%(p)d backlog=4096; location / { return 200 "Hello, World!"; } } }
"""
# connections, bytes of a request, depth, whether it is one of the long cells
ECHO = [(64, 64, 1, False), (1000, 64, 1, False), (64, 64, 16, False), (1, 64, 1, False), (1, 4096, 1, True),
        (64, 4096, 1, True), (1000, 4096, 1, True)]


def echo_cell(c, s, d):
    return f"W8_echo_C{c}_S{s}" + ("_D16" if d > 1 else "")


def complain(*words):
    print("#", *words, file=sys.stderr)


def run(argv, timeout=180):
    """What it wrote to stdout, and what went wrong ("" for nothing)."""
    try:
        p = subprocess.run(argv, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return "", "timeout"
    except OSError as e:
        return "", str(e)
    return p.stdout, "" if p.returncode == 0 else f"exit {p.returncode} {p.stderr[-200:]}"


def lines(text):
    """The lines PEER WORKLOAD VALUE UNIT of a text."""
    for line in text.splitlines():
        f = line.split()
        if len(f) == 4 and re.match(r"W\d", f[1]):
            w = f[1]
            if w.startswith("W11") and "." not in w:  # knit-bench names no column
                w += ".rate" if f[3] == "IOPS" else ".cpu"
            try:
                yield f[0], w, float(f[2]), f[3]
            except ValueError:
                continue


def cpu_ns(pid):
    total = 0
    for t in os.listdir(f"/proc/{pid}/task"):
        try:
            total += int(open(f"/proc/{pid}/task/{t}/schedstat").read().split()[0])
        except OSError:
            pass
    return total


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening_port(pid):
    """The port that the kernel picked for the process, 0 while it listens on none."""
    own = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            m = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
            if m:
                own.add(m[1])
    except OSError:
        return 0
    for line in open("/proc/net/tcp"):
        f = line.split()
        if len(f) > 9 and f[3] == "0A" and f[9] in own:
            return int(f[1].split(":")[1], 16)
    return 0


class Running:
    """A server on CPU 0, for a with statement; .port is 0 if it did not start."""

    def __init__(self, server, protocol, build):
        port = 0 if server.port_zero else free_port()
        if server.name == "nginx":
            os.makedirs(build + "/tmp", exist_ok=True)
            with open(f"{build}/nginx-{port}.conf", "w") as f:
                f.write(NGINX % {"p": port})
        argv = ONE_CPU + [x.format(proto=protocol, port=port) for x in server.argv]
        self.name, self.port = server.name, 0
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        for _ in range(400):
            if self.process.poll() is not None:
                break
            self.port = listening_port(self.pid)
            if self.port:
                break
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()

    def load(self, build, c, s, d, seconds, kind="echo"):
        argv = [build + "/loadgen", self.name, str(self.port), str(c), str(s), str(d), str(seconds), kind,
                str(self.pid)]
        out, error = run(argv, seconds + 20)
        if error:
            complain(self.name, kind, c, s, d, error.strip())
        return list(lines(out))

    def wrk(self, seconds):
        before = cpu_ns(self.pid)
        out, error = run(["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}",
                          f"http://127.0.0.1:{self.port}/"])
        used = cpu_ns(self.pid) - before
        m = re.search(r"(\d+) requests in ([\d.]+)s", out)
        bad = re.search(r"Non-2xx.*|Socket errors.*", out)
        if bad or not m or not int(m[1]):
            complain(self.name, "W9", bad[0] if bad else error.strip() or "no answer")
            return []
        n, took = int(m[1]), float(m[2])
        return [(self.name, "W9_http.rate", n / took, "req/s"),
                (self.name, "W9_http.cpu", used / n / 1000, "us-cpu/req")]


def fio(path, direct):
    out, error = run(["fio", "--name=r", "--filename=" + path, "--rw=randread", "--bs=4k", "--iodepth=32",
                      "--ioengine=io_uring", "--direct=" + "01"[direct], "--invalidate=0", "--runtime=1",
                      "--time_based", "--size=1g", "--cpus_allowed=0", "--output-format=json", "--randrepeat=0",
                      "--norandommap"])
    w = "W11_file_" + ("direct" if direct else "cached")
    try:
        j = json.loads(out[out.index("{"):])["jobs"][0]
        r = j["read"]
        cpu = (j["usr_cpu"] + j["sys_cpu"]) / 100 * r["runtime"] * 1000 / r["total_ios"]
        return [("fio-io_uring", w + ".rate", r["iops"], "IOPS"), ("fio-io_uring", w + ".cpu", cpu, "us-cpu/op")]
    except (ValueError, KeyError) as e:
        complain("fio", error or e)
        return []

# SPDX-License-Identifier: MIT
"""Runs knit, its peers and bare references interleaved.

Rounds (the default): a round runs every job once, so that the machine's drift hits all alike; the
rotation starts elsewhere each round. Pairs (--pairs N --against NAME,...): each cell runs knit and the
named references in turn, N times, and what counts is the median of the N ratios. Servers are all up
meanwhile, and are driven in slices of --slice ms.

Results are appended to results.jsonl in the build folder; `report.py` makes the tables."""
import argparse, contextlib, datetime, json, os, re, statistics, sys, time
from catalogue import HERE, Catalogue
from machine import describe
from measure import ECHO, Running, complain, echo_cell, fio, lines, run


def pattern(text):
    try:
        re.compile(text)
    except re.error as e:
        raise argparse.ArgumentTypeError(f"no regular expression: {text!r}: {e}")
    return text


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.path.join(HERE, "build"), help="where `make` put the programs")
    p.add_argument("--knit", default="", metavar="FOLDER", help="where knit-bench and knit-echo are")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--slow-rounds", type=int, default=3, help="rounds of the long jobs")
    p.add_argument("--secs", type=float, default=0.7, help="window of one server measurement (wrk: whole seconds)")
    p.add_argument("--only", type=pattern, default="", metavar="REGEX", help="workloads to run, such as 'W8|W10'")
    p.add_argument("--skip", type=pattern, default="", metavar="REGEX", help="workloads to leave out")
    p.add_argument("--peers", type=pattern, default="", metavar="REGEX", help="servers to run (rounds only)")
    p.add_argument("--pairs", type=int, default=0, metavar="N", help="pair ratios instead of rounds")
    p.add_argument("--slice", type=float, default=25, metavar="MS", help="of a server in a pair")
    p.add_argument("--against", default="raw-uring,raw-uring-1shot,raw-epoll", metavar="NAME,...")
    p.add_argument("--subject", default="knit", help="what the pairs compare with the others")
    p.add_argument("--file", default="", help="the file of W11 (1 GiB; made in the build folder)")
    p.add_argument("--out", default="", help="results (default: results.jsonl in the build folder)")
    a = p.parse_args()
    a.build = os.path.abspath(a.build)
    a.knit = os.path.abspath(a.knit) if a.knit else ""
    a.out = a.out or os.path.join(a.build, "results.jsonl")
    a.file = a.file or os.path.join(a.build, "file-1g")
    if a.knit and not os.path.exists(os.path.join(a.knit, "knit-bench")):
        p.error(f"no knit-bench in {a.knit}: build knit, and give --knit its folder tools")
    if not os.path.exists(os.path.join(a.build, "loadgen")):
        p.error(f"nothing is built in {a.build}: run make -C {HERE}, or give --build its folder")
    a.against = [x for x in a.against.split(",") if x]
    return a


class Runner:
    def __init__(self, options):
        self.o = options
        self.compared = set()
        self.kit = Catalogue(options.build, options.knit)
        self.out = open(options.out, "a")
        self.failed = set()
        for name in self.kit.missing:
            complain(name, "is not installed or not built: left out")
        self.meta = {"meta": describe(options.build, options.knit), "date": datetime.date.today().isoformat()}

    def write(self, **fields):
        # A sitting that brought nothing is none: the head of the report is about those that did.
        if self.meta:
            self.out.write(json.dumps(self.meta) + "\n")
            self.meta = None
        self.out.write(json.dumps(fields) + "\n")
        self.out.flush()

    def want(self, workload):
        return re.search(self.o.only, workload) and not (self.o.skip and re.search(self.o.skip, workload))

    def record(self, results, rnd):
        for peer, w, v, u in results:
            self.write(peer=peer, w=w, v=v, u=u, r=rnd)

    def need_file(self):
        if self.want("W11") and not os.path.exists(self.o.file):
            with open(self.o.file, "wb") as f:
                for _ in range(1024):
                    f.write(os.urandom(1 << 20))

    # ---- rounds

    def job_round(self, rnd):
        n = len(self.kit.jobs)
        start = rnd * 7 % n if n else 0
        for job in self.kit.jobs[start:] + self.kit.jobs[:start]:
            if (not self.want(job.workload) or job.label in self.failed or
                    (job.slow and rnd >= self.o.slow_rounds) or (job.once and rnd)):
                continue
            out, error = run(job.argv)
            results = list(lines(out))
            if error or not results:
                self.failed.add(job.label)
                complain(job.label, error.strip() or "no output")
            self.record(results, rnd)

    def servers(self, protocol):
        return [s for s in self.kit.serving(protocol) if re.search(self.o.peers, s.name)]

    def echo_round(self, rnd):
        for server in self.servers("echo"):
            with Running(server, "echo", self.o.build) as s:
                if not s.port:
                    complain(server.name, "does not start")
                    continue
                for c, size, d, slow in ECHO:
                    if self.want(echo_cell(c, size, d)) and not (slow and rnd >= self.o.slow_rounds):
                        self.record(s.load(self.o.build, c, size, d, self.o.secs), rnd)
                if self.want("W10_churn_C64"):
                    self.record(s.load(self.o.build, 64, 64, 1, self.o.secs, "churn"), rnd)

    def http_round(self, rnd):
        for server in self.servers("http"):
            with Running(server, "http", self.o.build) as s:
                self.record(s.wrk(self.o.secs * 2) if s.port else [], rnd)

    def file_round(self, rnd):
        for direct in (False, True):
            run(["dd", "if=" + self.o.file, "of=/dev/null", "bs=1M", "status=none"])
            for argv in self.kit.file_jobs(self.o.file, direct, 1):
                out, error = run(["taskset", "-c", "0"] + argv)
                self.record(lines(out), rnd)
                if error:
                    complain(os.path.basename(argv[0]), "W11", error.strip())
            self.record(fio(self.o.file, direct), rnd)

    def rounds(self):
        self.need_file()
        for rnd in range(self.o.rounds):
            began = time.time()
            self.job_round(rnd)
            if any(self.want(echo_cell(*cell[:3])) for cell in ECHO) or self.want("W10_churn_C64"):
                self.echo_round(rnd)
            if self.want("W9_http"):
                self.http_round(rnd)
            if self.want("W11_file"):
                self.file_round(rnd)
            complain(f"round {rnd + 1}: {time.time() - began:.0f} s")

    # ---- pairs

    def pair_servers(self, cell, c, size, depth, kind):
        """All servers at once, driven in turn in short slices by duel.c."""
        protocol = "http" if kind == "http" else "echo"
        names = [self.o.subject] + self.o.against
        servers = [s for n in names for s in self.kit.serving(protocol) if s.name == n]
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(Running(s, protocol, self.o.build)) for s in servers]
            for s in running:
                if not s.port:
                    complain(s.name, "does not start")
            targets = [f"{s.name}:{s.port}:{s.pid}" for s in running if s.port]
            # A slice is many requests of each connection.
            ms = self.o.slice * (3 if c > 100 else 1)
            out, error = run([self.o.build + "/duel", str(self.o.pairs), str(ms), str(c), str(size), str(depth),
                              kind] + targets, 600)
        if error:
            complain(cell, error.strip())
        rows = {}
        for line in out.splitlines():
            name, rnd, us, _ = line.split()
            rows.setdefault(int(rnd), {})[name] = float(us)
        self.summary(cell, list(rows.values()), "us-cpu")

    def pair_programs(self, cell, commands):
        """Programs that measure themselves; @commands: lists of arguments. Rows by workload."""
        found = {}
        for i in range(self.o.pairs):
            start = i % len(commands)
            for argv in commands[start:] + commands[:start]:
                out, error = run(argv)
                if error:
                    complain(cell, os.path.basename(argv[-1]), error.strip())
                for peer, w, v, u in lines(out):
                    found.setdefault((w, u), [{} for _ in range(self.o.pairs)])[i][peer] = v
        for (w, u), rows in sorted(found.items()):
            if not w.endswith(".rate"):
                self.summary(w, rows, u)

    def summary(self, cell, rows, unit):
        subject = self.o.subject
        for name in sorted({n for row in rows for n in row} - {subject}):
            both = [(r[subject], r[name]) for r in rows if r.get(subject) and r.get(name)]
            if self.o.against and not any(name.startswith(a) for a in self.o.against) or not both:
                continue
            self.compared.update(a for a in self.o.against if name.startswith(a))
            ratios = sorted(a / b for a, b in both)
            spread = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            mine, theirs = (statistics.median(x) for x in zip(*both))
            print(f"{cell:22} {subject} {mine:8.3f}  {name:18} {theirs:8.3f} {unit:10} ratio {statistics.median(ratios):.3f}"
                  f"  quartiles {spread[0]:.3f} {spread[2]:.3f}  range {ratios[0]:.3f} {ratios[-1]:.3f}  pairs {len(ratios)}",
                  flush=True)
            self.write(pair=name, subject=subject, w=cell, u=unit, mine=mine, theirs=theirs, ratios=ratios)

    def pairs(self):
        self.need_file()
        o = self.o
        for workload in ("W6_", "W6b"):
            commands = [j.argv for j in self.kit.jobs if j.workload.startswith(workload) or workload == j.workload + "_"]
            if self.want(workload) and commands:
                self.pair_programs(workload, commands)
        for c, size, d, _ in ECHO:
            if self.want(echo_cell(c, size, d)):
                self.pair_servers(echo_cell(c, size, d), c, size, d, "echo")
        if self.want("W9_http"):
            self.pair_servers("W9_http", 64, 64, 1, "http")
        if self.want("W10_churn_C64"):
            self.pair_servers("W10_churn_C64", 64, 64, 1, "churn")
        for direct in (False, True):
            name = "W11_file_" + ("direct" if direct else "cached")
            if self.want(name):
                self.pair_programs(name, [["taskset", "-c", "0"] + j for j in self.kit.file_jobs(o.file, direct, o.secs)])


if __name__ == "__main__":
    options = parse()
    runner = Runner(options)
    if options.pairs:
        runner.pairs()
        for name in options.against:
            if name not in runner.compared:
                complain(name, "was in no pair: it does none of these workloads, is not built, or there is no such name")
    else:
        runner.rounds()
    if runner.meta:
        sys.exit("run.py: nothing was measured; --only, --skip, --peers and --against may leave nothing to run")

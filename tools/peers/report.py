# SPDX-License-Identifier: MIT
"""Makes the tables of a results file: report.py [RESULTS.jsonl] > RESULTS.md"""
import json, os, statistics as st, sys
from catalogue import HERE
from measure import ECHO, echo_cell

SINGLE = {
 "W1_bare_switch": ("W1 bare context switch", "10M switches between two contexts, no scheduler."),
 "W1_yield": ("W1 yield", "Two tasks yield in turn through the scheduler; 10M switches (Python 1M)."),
 "W2_spawn_join": ("W2 spawn_join", "Spawn a trivial task and await it, one after another; 1M times (Python 200k)."),
 "W2b_spawn_batch_cold": ("W2b spawn_batch, first batch", "Spawn 100k trivial tasks, then join all; the first batch of the process pays for the memory (state-threads 20k)."),
 "W2b_spawn_batch_warm": ("W2b spawn_batch, second batch", "The same batch again in the same process."),
 "W3_idle_100k": ("W3 idle memory, 100k tasks", "Growth of VmRSS + VmPTE per task asleep for an hour."),
 "W3_idle_20k": ("W3 idle memory, 20k tasks", "As above, for the peer that cannot hold 100k tasks."),
 "W3_idle_1M": ("W3 idle memory, 1M tasks", "As above with 1M tasks; one run."),
 "W4_timer_cb": ("W4 timers, callbacks", "1M timer callbacks with random deadlines of 1..1000 ms; process CPU per timer, create + fire."),
 "W4_sleep_task": ("W4 timers, sleeping tasks", "1M tasks each sleeping 1..1000 ms; process CPU per task: spawn + sleep + wake + finish."),
 "W4_sleep_task_20k": ("W4 timers, 20k sleeping tasks", "As above, for the peer that cannot hold 100k tasks."),
 "W4b_cancel": ("W4b timer cancel", "1000 live timers of 60..120 s; each of 1000 rounds cancels and recreates all, then one loop turn; ns per cancel + create."),
 "W5_call_soon": ("W5 call_soon", "One callback re-posting itself 10M times (libuv and Python 1M)."),
 "W6_pingpong": ("W6 cross-thread ping-pong, wall", "Two loops on CPUs 0 and 1, each hand-over wakes the other's sleeping loop; 1 s."),
 "W6_pingpong_cpu": ("W6 cross-thread ping-pong, CPU", "The same run: CPU of both threads per round trip (the dependable figure: wall time is the wake-up of a virtual CPU)."),
 "W6b_post": ("W6b cross-thread throughput", "One producer thread (CPU 1) posts 5M no-op callbacks to a loop (CPU 0); wall ns per delivered callback (Python 500k)."),
 "W7_queue_1": ("W7 queue, capacity 1", "Producer and consumer task on one loop pass 5M items (Python 300k)."),
 "W7_queue_128": ("W7 queue, capacity 128", "The same with capacity 128."),
}


def is_raw(peer):
    return peer.startswith(("raw", "asm-", "fio"))


def figure(x):
    if x >= 1000:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 100 else f"{x:.2f}" if x >= 10 else f"{x:.3g}"


def emphasis(peer, best):
    return "**" if peer == "knit" else "*" if peer == best else ""


class Report:
    def __init__(self, path):
        self.meta, self.dates, self.pairs, self.data = {}, set(), [], {}
        self.knits = []  # results of all sittings are pooled, so the head names each version
        try:
            results = open(path)
        except OSError as e:
            sys.exit(f"report.py: {path}: {e.strerror}; run.py makes it")
        for line in results:
            j = json.loads(line)
            if "meta" in j:
                self.meta = j["meta"]
                self.dates.add(j["date"])
                knit = self.meta.get("versions", {}).get("knit")
                if knit and knit not in self.knits:
                    self.knits.append(knit)
            elif "pair" in j:
                self.pairs.append(j)
            else:
                self.data.setdefault(j["w"], {}).setdefault(j["peer"], (j["u"], []))[1].append(j["v"])
        self.remarks = json.load(open(os.path.join(HERE, "remarks.json")))

    def remark(self, peer, workload):
        text = self.remarks.get(peer + " " + workload, self.remarks.get(peer + " *", ""))
        return "; ".join(x for x in ("limit" if is_raw(peer) else "", text) if x)

    def head(self):
        m = self.meta
        print("# Results\n\nMade by `report.py`; `README.md` says how. knit is bold, the best peer *italic*;\n"
              "rows marked \"limit\" are bare references, no peers.\n")
        print(f"- Date: {', '.join(sorted(self.dates))}")
        print(f"- Machine: {m.get('cpu')}, {m.get('cpus')} CPUs{' (virtual)' if m.get('virtual') else ''}, {m.get('memory')}")
        if m.get("load"):
            print(f"- Load average when the last sitting began: {m['load']}")
        print(f"- System: {m.get('system')}, Linux {m.get('kernel')}")
        versions = dict(m.get("versions", {}))
        if self.knits:
            versions["knit"] = " and ".join(self.knits)
        print("- Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items()))

    def pair_table(self):
        if not self.pairs:
            return
        pooled = {}  # all sittings, none is picked out
        for p in self.pairs:
            pooled.setdefault((p["w"], p["pair"]), []).append(p)
        print("\n## Pair ratios\n\nEach cell ran knit and the others in turn, servers in slices of some milliseconds; the ratio\n"
              "is knit's CPU time to the other's, the median of all pairs of all sittings.\n\n"
              "| workload | against | knit | other | unit | median ratio | quartiles | pairs |\n"
              "|---|---|--:|--:|---|--:|---|--:|")
        for (w, name), sittings in pooled.items():
            p = {"u": sittings[0]["u"], "ratios": [r for s in sittings for r in s["ratios"]]}
            p["mine"], p["theirs"] = (st.median(s[k] for s in sittings) for k in ("mine", "theirs"))
            q = st.quantiles(p["ratios"], n=4) if len(p["ratios"]) > 1 else p["ratios"] * 3
            print(f"| {w} | {name} | {figure(p['mine'])} | {figure(p['theirs'])} | {p['u']} | {st.median(p['ratios']):.3f} | "
                  f"{q[0]:.3f} .. {q[2]:.3f} | {len(p['ratios'])} |")

    def single(self, workload, title, how):
        if workload not in self.data:
            return
        rows = sorted(self.data[workload].items(), key=lambda i: st.median(i[1][1]))
        best = next((p for p, _ in rows if not is_raw(p) and p != "knit"), None)
        print(f"\n### {title}\n\n{how}\n\n| peer | median | min | unit | runs | remark |\n|---|--:|--:|---|--:|---|")
        for p, (unit, v) in rows:
            b = emphasis(p, best)
            print(f"| {b}{p}{b} | {b}{figure(st.median(v))}{b} | {figure(min(v))} | {unit} | {len(v)} | {self.remark(p, workload)} |")

    def multi(self, base, title, how, columns):
        d = self.data
        if base + ".cpu" not in d or base + ".rate" not in d:
            return
        median = lambda p, m: st.median(d[f"{base}.{m}"][p][1])
        peers = sorted((p for p in d[base + ".cpu"] if p in d[base + ".rate"]), key=lambda p: median(p, "cpu"))
        best = next((p for p in peers if not is_raw(p) and p != "knit"), None)
        unit = d[base + ".cpu"][peers[0]][0].replace("us-cpu/", "")
        heads = "".join(f"{c} {'us' if c[0] == 'p' else '%'} | " for c in columns)
        print(f"\n### {title}\n\n{how}\n\n| peer | CPU us/{unit} median | min | {d[base + '.rate'][peers[0]][0]} median | max | "
              f"{heads}runs | remark |\n|---|--:|--:|--:|--:|" + "--:|" * (len(columns) + 1) + "---|")
        for p in peers:
            b, c, r = emphasis(p, best), d[base + ".cpu"][p][1], d[base + ".rate"][p][1]
            more = "".join(f"{figure(median(p, x))} | " for x in columns)
            print(f"| {b}{p}{b} | {b}{figure(st.median(c))}{b} | {figure(min(c))} | {figure(st.median(r))} | {figure(max(r))} | "
                  f"{more}{len(c)} | {self.remark(p, base)} |")

    def all(self):
        self.head()
        self.pair_table()
        if self.data:
            print("\n## Tables")
        for w, (title, how) in SINGLE.items():
            self.single(w, title, how)
        latency = ["p50", "p99", "p999", "srvbusy"]
        for c, s, depth, _ in ECHO:
            self.multi(echo_cell(c, s, depth), f"W8 TCP echo, C={c}, S={s}" + (f", depth {depth}" if depth > 1 else ""),
                       f"{c} connection(s), {s}-byte requests, {depth if depth > 1 else 'one'} outstanding on each.", latency)
        self.multi("W9_http", "W9 HTTP hello world", "wrk -t1 -c64 on CPU 1, keep-alive.", [])
        self.multi("W10_churn_C64", "W10 connection churn",
                   "64 slots: connect, one 64-byte request and answer, close (RST); conns/s.", latency)
        for k, title in (("cached", "page-cached"), ("direct", "O_DIRECT")):
            self.multi("W11_file_" + k, f"W11 file reads, {title}",
                       "Random 4 KiB reads of a 1 GiB file, 32 in flight, pinned to CPU 0.", [])


Report(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "build", "results.jsonl")).all()

# SPDX-License-Identifier: MIT
# CPython asyncio / uvloop: aio_bench.py (asyncio|uvloop) WORKLOAD | echo PORT | http PORT
import asyncio, os, random, socket, sys, threading, time

KIND = sys.argv[1]
W = sys.argv[2]
if KIND == "uvloop":
    import uvloop
    new_loop = uvloop.new_event_loop
else:
    new_loop = asyncio.new_event_loop

def emit(w, v, u): print(f"{KIND} {w} {v:.4g} {u}", flush=True)
cpu = time.process_time_ns
now = time.monotonic_ns

def mem():
    return sum(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(("VmRSS:", "VmPTE:"))) * 1024

async def w1(n=1_000_000):
    async def f():
        for _ in range(n // 2): await asyncio.sleep(0)
    t = cpu()
    a, b = asyncio.ensure_future(f()), asyncio.ensure_future(f())
    await a; await b
    emit("W1_yield", (cpu() - t) / n, "ns")

async def nop(): pass

async def w2(n=200_000, m=100_000):
    t = cpu()
    for _ in range(n): await asyncio.create_task(nop())
    emit("W2_spawn_join", (cpu() - t) / n, "ns")
    for k in ("cold", "warm"):
        t = cpu()
        for x in [asyncio.create_task(nop()) for _ in range(m)]: await x
        emit("W2b_spawn_batch_" + k, (cpu() - t) / m, "ns")

async def w3(n):
    m = mem()
    v = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(n)]
    await asyncio.sleep(0); await asyncio.sleep(0)
    emit("W3_idle_1M" if n == 1000000 else "W3_idle_100k", (mem() - m) / n, "B")
    os._exit(0)

async def w4(tasks, n=1_000_000):
    loop = asyncio.get_running_loop()
    r = random.Random(1).random
    ds = [(1 + int(r() * 1000)) / 1000 for _ in range(n)]
    c = cpu()
    if tasks:
        for x in [asyncio.create_task(asyncio.sleep(d)) for d in ds]: await x
        emit("W4_sleep_task", (cpu() - c) / n, "ns-cpu")
    else:
        left = n
        fut = loop.create_future()
        def fire():
            nonlocal left
            left -= 1
            if not left: fut.set_result(None)
        for d in ds: loop.call_later(d, fire)
        await fut
        emit("W4_timer_cb", (cpu() - c) / n, "ns-cpu")

async def w4b():
    loop = asyncio.get_running_loop()
    r = random.Random(1).random
    ds = [60 + r() * 60 for _ in range(1000)]
    f = lambda: None
    v = [loop.call_later(d, f) for d in ds]
    t = cpu()
    for _ in range(300):
        for i in range(1000):
            v[i].cancel(); v[i] = loop.call_later(ds[i], f)
        await asyncio.sleep(0)
    emit("W4b_cancel", (cpu() - t) / 300_000, "ns")

async def w5(n=1_000_000):
    loop = asyncio.get_running_loop()
    fut = loop.create_future()
    left = n
    def f():
        nonlocal left
        left -= 1
        if left: loop.call_soon(f)
        else: fut.set_result(None)
    t = cpu()
    loop.call_soon(f)
    await fut
    emit("W5_call_soon", (cpu() - t) / n, "ns")

def w6():
    a, b = new_loop(), new_loop()
    n = 0
    os.sched_setaffinity(0, {0})
    def other():
        os.sched_setaffinity(0, {1})
        b.run_forever()
    th = threading.Thread(target=other); th.start()
    t, c = now(), cpu()
    end = t + 1_000_000_000
    def hit1(): a.call_soon_threadsafe(hit0)
    def hit0():
        nonlocal n
        n += 1
        if now() > end: b.call_soon_threadsafe(b.stop); a.stop()
        else: b.call_soon_threadsafe(hit1)
    b.call_soon_threadsafe(hit1)
    a.run_forever()
    emit("W6_pingpong", (now() - t) / n / 1e3, "us/rtt")
    emit("W6_pingpong_cpu", (cpu() - c) / n / 1e3, "us-cpu/rtt")
    th.join()

def w6b(n=500_000):
    a = new_loop()
    os.sched_setaffinity(0, {0})
    left = n
    def f():
        nonlocal left
        left -= 1
        if not left: a.stop()
    def prod():
        os.sched_setaffinity(0, {1})
        for _ in range(n): a.call_soon_threadsafe(f)
    t = now()
    th = threading.Thread(target=prod); th.start()
    a.run_forever()
    emit("W6b_post", (now() - t) / n, "ns")
    th.join()

async def w7(cap, n=300_000):
    q = asyncio.Queue(cap)
    async def p():
        for i in range(n): await q.put(i)
    async def c():
        for i in range(n): await q.get()
    t = cpu()
    await asyncio.gather(p(), c())
    emit(f"W7_queue_{cap}", (cpu() - t) / n, "ns")

RESP = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
class Echo(asyncio.Protocol):
    def connection_made(self, t):
        self.t = t
    def data_received(self, d): self.t.write(d)
class Http(asyncio.Protocol):
    def connection_made(self, t):
        self.t = t
        self.b = b""
    def data_received(self, d):
        b = self.b + d if self.b else d
        k = b.count(b"\r\n\r\n")
        if k:
            self.b = b[b.rindex(b"\r\n\r\n") + 4:]
            self.t.write(RESP * k)
        else: self.b = b
async def streams(r, w):
    try:
        while d := await r.read(16384):
            w.write(d)
            await w.drain()
    except ConnectionError: pass
    w.close()

async def serve(kind, port):
    loop = asyncio.get_running_loop()
    if kind == "streams": s = await asyncio.start_server(streams, "127.0.0.1", port, backlog=4096)
    else: s = await loop.create_server(Http if kind == "http" else Echo, "127.0.0.1", port, backlog=4096)
    await s.serve_forever()

if W == "W6": w6()
elif W == "W6b": w6b()
else:
    arg = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    co = {"W1": w1, "W2": w2, "W3": lambda: w3(arg), "W4": lambda: w4(False), "W4t": lambda: w4(True), "W4b": w4b, "W5": w5,
          "W7": None, "echo": lambda: serve("echo", arg), "http": lambda: serve("http", arg), "streams": lambda: serve("streams", arg)}[W]
    loop = new_loop()
    asyncio.set_event_loop(loop)
    if W == "W7":
        loop.run_until_complete(w7(1)); loop.run_until_complete(w7(128))
    else: loop.run_until_complete(co())

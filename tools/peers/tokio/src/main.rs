// SPDX-License-Identifier: MIT
// tokio (current_thread): tokio_bench WORKLOAD | echo PORT | http PORT
use std::cell::Cell;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

const P: &str = "tokio";
fn emit(w: &str, v: f64, u: &str) { println!("{} {} {:.4} {}", P, w, v, u); }
fn clk(id: i32) -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec as f64 * 1e9 + t.tv_nsec as f64
}
fn cpu() -> f64 { clk(2) }
fn pin(core: usize) {
    unsafe {
        let mut s: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut s);
        libc::sched_setaffinity(0, std::mem::size_of_val(&s), &s);
    }
}
fn mem() -> f64 {
    std::fs::read_to_string("/proc/self/status").unwrap().lines()
        .filter(|l| l.starts_with("VmRSS:") || l.starts_with("VmPTE:"))
        .map(|l| l.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0).sum()
}
fn rt() -> Runtime { Builder::new_current_thread().enable_all().build().unwrap() }
// the workload itself runs as a spawned task: the root future of block_on is dearer to wake
fn run<F: std::future::Future<Output = ()> + Send + 'static>(f: F) { rt().block_on(async { tokio::spawn(f).await.unwrap() }) }
struct Rng(u64);
impl Rng { fn next(&mut self) -> u64 { let mut x = self.0; x ^= x << 13; x ^= x >> 7; x ^= x << 17; self.0 = x; x } }
const SEED: u64 = 88172645463325252;
thread_local! { static LEFT: Cell<u64> = Cell::new(0); }

async fn w7(cap: usize, name: &str) {
    const N: u64 = 5_000_000;
    let (tx, mut rx) = tokio::sync::mpsc::channel::<u64>(cap);
    let t = cpu();
    let a = tokio::spawn(async move { for i in 0..N { tx.send(i).await.unwrap(); } });
    let b = tokio::spawn(async move { let mut s = 0u64; while let Some(v) = rx.recv().await { s = s.wrapping_add(v); } s });
    a.await.unwrap();
    assert_ne!(b.await.unwrap(), 1); // keeps the sum alive
    emit(name, (cpu() - t) / N as f64, "ns");
}
fn respawn(done: std::sync::Arc<tokio::sync::Notify>) {
    let n = LEFT.with(|l| { let n = l.get() - 1; l.set(n); n });
    if n > 0 { tokio::spawn(async move { respawn(done) }); } else { done.notify_one() }
}
const RESP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
async fn serve(port: u16, http: bool) {
    let l = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (mut s, _) = match l.accept().await { Ok(x) => x, Err(_) => continue };
        let _ = s.set_nodelay(true);
        tokio::spawn(async move {
            let mut b = vec![0u8; 16384];
            let mut st = 0;
            let many = RESP.repeat(64);
            loop {
                let n = match s.read(&mut b).await { Ok(0) | Err(_) => return, Ok(n) => n };
                let r = if http {
                    let mut k = 0;
                    for &c in &b[..n] {
                        st = match (st, c) { (0, b'\r') => 1, (1, b'\n') => 2, (2, b'\r') => 3, (3, b'\n') => { k += 1; 0 } (1, b'\r') => 1, _ => 0 };
                    }
                    if k == 0 { continue }
                    s.write_all(&many[..RESP.len() * k.min(64)]).await
                } else { s.write_all(&b[..n]).await };
                if r.is_err() { return }
            }
        });
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    match a[1].as_str() {
        "W1" => run(async {
            const H: u64 = 5_000_000;
            let t = cpu();
            let f = || tokio::spawn(async { for _ in 0..H { yield_now().await } });
            let (x, y) = (f(), f());
            x.await.unwrap(); y.await.unwrap();
            emit("W1_yield", (cpu() - t) / (2 * H) as f64, "ns");
        }),
        "W2" => run(async {
            let t = cpu();
            for _ in 0..1_000_000 { tokio::spawn(async {}).await.unwrap(); }
            emit("W2_spawn_join", (cpu() - t) / 1e6, "ns");
            for n in ["cold", "warm"] {
                let t = cpu();
                let v: Vec<_> = (0..100_000).map(|_| tokio::spawn(async {})).collect();
                for h in v { h.await.unwrap(); }
                emit(&format!("W2b_spawn_batch_{}", n), (cpu() - t) / 1e5, "ns");
            }
        }),
        "W3" => rt().block_on(async {
            let n: u64 = a[2].parse().unwrap();
            let m = mem();
            LEFT.with(|l| l.set(n));
            for _ in 0..n {
                tokio::spawn(async { LEFT.with(|l| l.set(l.get() - 1)); tokio::time::sleep(Duration::from_secs(3600)).await });
            }
            while LEFT.with(|l| l.get()) > 0 { yield_now().await }
            emit(if n == 1_000_000 { "W3_idle_1M" } else { "W3_idle_100k" }, (mem() - m) / n as f64, "B");
            std::process::exit(0);
        }),
        "W4" => run(async {
            const N: usize = 1_000_000;
            let (mut r, c) = (Rng(SEED), cpu());
            let v: Vec<_> = (0..N).map(|_| { let d = 1 + r.next() % 1000; tokio::spawn(async move { tokio::time::sleep(Duration::from_millis(d)).await }) }).collect();
            for h in v { h.await.unwrap(); }
            emit("W4_sleep_task", (cpu() - c) / N as f64, "ns-cpu");
        }),
        "W4b" => run(async {
            let mut r = Rng(SEED);
            let mut mk = || Box::pin(tokio::time::sleep(Duration::from_millis(60000 + r.next() % 60000)));
            let mut v: Vec<_> = (0..1000).map(|_| mk()).collect();
            for s in v.iter_mut() { poll_once(s.as_mut()).await; } // registers the timer
            let t = cpu();
            for _ in 0..1000 {
                for s in v.iter_mut() { *s = mk(); poll_once(s.as_mut()).await; }
                yield_now().await;
            }
            emit("W4b_cancel", (cpu() - t) / 1e6, "ns");
        }),
        "W5" => run(async {
            LEFT.with(|l| l.set(10_000_000));
            let t = cpu();
            let done = std::sync::Arc::new(tokio::sync::Notify::new());
            let d = done.clone();
            tokio::spawn(async move { respawn(d) });
            done.notified().await;
            emit("W5_call_soon", (cpu() - t) / 1e7, "ns");
        }),
        "W6" => {
            let (ta, mut ra) = tokio::sync::mpsc::unbounded_channel::<u32>();
            let (tb, mut rb) = tokio::sync::mpsc::unbounded_channel::<u32>();
            let th = std::thread::spawn(move || { pin(1); rt().block_on(async move { while let Some(v) = ra.recv().await { if tb.send(v).is_err() { break } } }) });
            pin(0);
            rt().block_on(async move {
                let (t, c, mut n) = (Instant::now(), cpu(), 0u64);
                while t.elapsed().as_secs_f64() < 1.0 { ta.send(1).unwrap(); rb.recv().await.unwrap(); n += 1; }
                emit("W6_pingpong", t.elapsed().as_secs_f64() * 1e6 / n as f64, "us/rtt");
                emit("W6_pingpong_cpu", (cpu() - c) / n as f64 / 1e3, "us-cpu/rtt");
            });
            th.join().unwrap();
        }
        "W6b" => {
            const N: u64 = 5_000_000;
            pin(0);
            let r = rt();
            let (h, done) = (r.handle().clone(), std::sync::Arc::new(tokio::sync::Notify::new()));
            let t = Instant::now();
            LEFT.with(|l| l.set(N));
            let d2 = done.clone();
            let th = std::thread::spawn(move || { pin(1); for _ in 0..N { let d = d2.clone(); h.spawn(async move { LEFT.with(|l| { l.set(l.get() - 1); if l.get() == 0 { d.notify_one() } }) }); } });
            r.block_on(done.notified());
            println!("tokio-handle.spawn W6b_post {:.4} ns", t.elapsed().as_secs_f64() * 1e9 / N as f64);
            th.join().unwrap();
            let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<fn()>();
            let t = Instant::now();
            let th = std::thread::spawn(move || { pin(1); fn nop() {} for _ in 0..N { tx.send(nop as fn()).unwrap(); } });
            r.block_on(async { for _ in 0..N { (rx.recv().await.unwrap())() } });
            println!("tokio-mpsc W6b_post {:.4} ns", t.elapsed().as_secs_f64() * 1e9 / N as f64);
            th.join().unwrap();
        }
        "W7" => run(async { w7(1, "W7_queue_1").await; w7(128, "W7_queue_128").await; }),
        "echo" => rt().block_on(serve(a[2].parse().unwrap(), false)),
        "http" => rt().block_on(serve(a[2].parse().unwrap(), true)),
        _ => {}
    }
}
struct Once<'a, F>(std::pin::Pin<&'a mut F>);
impl<'a, F: std::future::Future> std::future::Future for Once<'a, F> {
    type Output = ();
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let _ = self.0.as_mut().poll(cx);
        std::task::Poll::Ready(())
    }
}
fn poll_once<F: std::future::Future>(f: std::pin::Pin<&mut F>) -> Once<'_, F> { Once(f) }

/* SPDX-License-Identifier: MIT */
/* asio_bench.cpp - Boost.Asio: callbacks ("asio-cb"), C++20 awaitables ("asio-co"), stackful spawn ("asio-spawn"). */
#include "common.h"
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/spawn.hpp>
#include <memory>
#include <thread>
#include <vector>
namespace as = boost::asio;
using as::ip::tcp;
using as::use_awaitable;
using as::awaitable;
using boost::system::error_code;

static long left_;
struct rearm { as::io_context &c; void operator()() const { if (--left_) as::post(c, *this); } };
static void w5() {
    as::io_context c(1); left_ = N_SOON; as::post(c, rearm{c});
    uint64_t t = cpu_ns(); c.run();
    emit("asio-cb", "W5_call_soon", double(cpu_ns() - t) / N_SOON, "ns");
}
static void w1() {
    { as::io_context c(1);
      auto f = []() -> awaitable<void> { auto ex = co_await as::this_coro::executor;
          for (int i = 0; i < N_YIELD / 2; i++) co_await as::post(ex, use_awaitable); };
      as::co_spawn(c, f(), as::detached); as::co_spawn(c, f(), as::detached);
      uint64_t t = cpu_ns(); c.run();
      emit("asio-co", "W1_yield", double(cpu_ns() - t) / N_YIELD, "ns"); }
    { as::io_context c(1);
      auto f = [](as::yield_context y) { for (int i = 0; i < N_YIELD / 2; i++) as::post(y.get_executor(), y); };
      as::spawn(c, f, as::detached); as::spawn(c, f, as::detached);
      uint64_t t = cpu_ns(); c.run();
      emit("asio-spawn", "W1_yield", double(cpu_ns() - t) / N_YIELD, "ns"); }
}
static awaitable<void> nop_co() { co_return; }
static void w2() {
    { as::io_context c(1);
      as::co_spawn(c, []() -> awaitable<void> {
          auto ex = co_await as::this_coro::executor;
          uint64_t t = cpu_ns();
          for (int i = 0; i < N_SPAWN; i++) co_await as::co_spawn(ex, nop_co(), use_awaitable);
          emit("asio-co", "W2_spawn_join", double(cpu_ns() - t) / N_SPAWN, "ns");
      }(), as::detached);
      c.run();
      for (int r = 0; r < 2; r++) {
          uint64_t t = cpu_ns(); left_ = N_BATCH;
          for (int i = 0; i < N_BATCH; i++) as::co_spawn(c, nop_co(), [](std::exception_ptr) { left_--; });
          c.restart(); c.run();
          if (left_) exit(1);
          emit("asio-co", r ? "W2b_spawn_batch_warm" : "W2b_spawn_batch_cold", double(cpu_ns() - t) / N_BATCH, "ns");
      } }
    { as::io_context c(1);
      as::spawn(c, [](as::yield_context y) {
          uint64_t t = cpu_ns();
          // joined through a channel: spawn() with a yield_context as its own token crashes in 1.81
          as::experimental::channel<void(error_code)> done(y.get_executor(), 1);
          for (int i = 0; i < N_SPAWN; i++) {
              as::spawn(y.get_executor(), [&](as::yield_context) { done.try_send(error_code{}); }, as::detached);
              done.async_receive(y);
          }
          emit("asio-spawn", "W2_spawn_join", double(cpu_ns() - t) / N_SPAWN, "ns");
      }, as::detached);
      c.run();
      for (int r = 0; r < 2; r++) {
          uint64_t t = cpu_ns(); left_ = N_BATCH;
          for (int i = 0; i < N_BATCH; i++) as::spawn(c, [](as::yield_context) {}, [](std::exception_ptr) { left_--; });
          c.restart(); c.run();
          if (left_) exit(1);
          emit("asio-spawn", r ? "W2b_spawn_batch_warm" : "W2b_spawn_batch_cold", double(cpu_ns() - t) / N_BATCH, "ns");
      } }
}
static void w3(long n, bool stackful) {
    as::io_context c(1); left_ = n; long m = mem_bytes();
    for (long i = 0; i < n; i++) {
        if (stackful) as::spawn(c, [](as::yield_context y) { as::steady_timer t(y.get_executor(), std::chrono::hours(1)); left_--; t.async_wait(y); }, as::detached);
        else as::co_spawn(c, []() -> awaitable<void> { as::steady_timer t(co_await as::this_coro::executor, std::chrono::hours(1)); left_--; co_await t.async_wait(use_awaitable); }(), as::detached);
        c.poll();
    }
    if (left_) _exit(1);
    emit(stackful ? "asio-spawn" : "asio-co", n == 1000000 ? "W3_idle_1M" : "W3_idle_100k", double(mem_bytes() - m) / double(n), "B");
    _exit(0);
}
static uint64_t seed = SEED;
static std::chrono::milliseconds rms() { return std::chrono::milliseconds(1 + rnd_(&seed) % 1000); }
static void w4() {
    uint64_t c0 = cpu_ns();
    { as::io_context c(1); std::vector<as::steady_timer> v; v.reserve(N_TIMER); left_ = N_TIMER;
      for (int i = 0; i < N_TIMER; i++) { v.emplace_back(c, rms()); v.back().async_wait([](error_code) { left_--; }); }
      c.run(); if (left_) exit(1);
      emit("asio-cb", "W4_timer_cb", double(cpu_ns() - c0) / N_TIMER, "ns-cpu"); }
}
static void w4t(bool stackful) {
    uint64_t c0 = cpu_ns(); as::io_context c(1); left_ = N_TIMER;
    for (int i = 0; i < N_TIMER; i++) {
        if (stackful) as::spawn(c, [](as::yield_context y) { as::steady_timer t(y.get_executor(), rms()); t.async_wait(y); left_--; }, as::detached);
        else as::co_spawn(c, []() -> awaitable<void> { as::steady_timer t(co_await as::this_coro::executor, rms()); co_await t.async_wait(use_awaitable); left_--; }(), as::detached);
    }
    c.run(); if (left_) exit(1);
    emit(stackful ? "asio-spawn" : "asio-co", "W4_sleep_task", double(cpu_ns() - c0) / N_TIMER, "ns-cpu");
}
static void w4b() {
    as::io_context c(1); auto g = as::make_work_guard(c);
    std::vector<as::steady_timer> v; uint64_t s = SEED;
    auto far = [&] { return std::chrono::milliseconds(60000 + rnd_(&s) % 60000); };
    for (int i = 0; i < 1000; i++) { v.emplace_back(c, far()); v.back().async_wait([](error_code) {}); }
    uint64_t t = cpu_ns();
    for (int r = 0; r < 1000; r++) {
        for (auto &x : v) { x.expires_after(far()); /* cancels the pending wait */ x.async_wait([](error_code) {}); }
        c.poll();
    }
    emit("asio-cb", "W4b_cancel", double(cpu_ns() - t) / 1e6, "ns");
    _exit(0);
}
static as::io_context *X[2]; static uint64_t pn, t_end;
static void hit0();
static void hit1() { as::post(*X[0], hit0); }
static void hit0() { pn++; if (now_ns() > t_end) { X[0]->stop(); X[1]->stop(); } else as::post(*X[1], hit1); }
static void w6() {
    pin(0); as::io_context a(1), b(1); X[0] = &a; X[1] = &b;
    auto g = as::make_work_guard(a), h = as::make_work_guard(b);
    std::thread th([&] { pin(1); b.run(); });
    uint64_t t = now_ns(), c = cpu_ns(); t_end = t + PING_NS;
    as::post(b, hit1); a.run();
    emit("asio-cb", "W6_pingpong", double(now_ns() - t) / double(pn) / 1000, "us/rtt");
    emit("asio-cb", "W6_pingpong_cpu", double(cpu_ns() - c) / double(pn) / 1000, "us-cpu/rtt");
    th.join();
}
static void w6b() {
    pin(0); as::io_context a; auto g = as::make_work_guard(a); left_ = N_CROSS;
    uint64_t t = now_ns();
    std::thread th([&] { pin(1); for (int i = 0; i < N_CROSS; i++) as::post(a, [&] { if (!--left_) a.stop(); }); });
    a.run();
    emit("asio-cb", "W6b_post", double(now_ns() - t) / N_CROSS, "ns");
    th.join();
}
static uint64_t sum;
static void w7(size_t cap, const char *n) {
    using ch_t = as::experimental::channel<void(error_code, uint64_t)>;
    as::io_context c(1); ch_t ch(c, cap);
    as::co_spawn(c, [&]() -> awaitable<void> { for (uint64_t i = 0; i < N_QUEUE; i++) co_await ch.async_send(error_code{}, i, use_awaitable); }(), as::detached);
    as::co_spawn(c, [&]() -> awaitable<void> { for (uint64_t i = 0; i < N_QUEUE; i++) sum += co_await ch.async_receive(use_awaitable); }(), as::detached);
    uint64_t t = cpu_ns(); c.run();
    emit("asio-co", n, double(cpu_ns() - t) / N_QUEUE, "ns");
}
static bool http; static char respN[64 * sizeof HTTP_RESP];
constexpr size_t RL = sizeof HTTP_RESP - 1;
static as::const_buffer answer(char *b, size_t n, int *st) {
    if (!http) return as::buffer(b, n);
    int k = http_heads(b, (long)n, st);
    return as::buffer(respN, size_t(k > 64 ? 64 : k) * RL);
}
struct sess : std::enable_shared_from_this<sess> {
    tcp::socket s; int st = 0; char b[16384];
    explicit sess(tcp::socket x) : s(std::move(x)) {}
    void rd() {
        s.async_read_some(as::buffer(b), [me = shared_from_this()](error_code e, size_t n) {
            if (e) return;
            auto o = answer(me->b, n, &me->st);
            if (!o.size()) return me->rd();
            as::async_write(me->s, o, [me](error_code e2, size_t) { if (!e2) me->rd(); });
        });
    }
};
static void accept_cb(tcp::acceptor &a) {
    a.async_accept([&](error_code e, tcp::socket s) { if (!e) { s.set_option(tcp::no_delay(true)); std::make_shared<sess>(std::move(s))->rd(); } accept_cb(a); });
}
static awaitable<void> one(tcp::socket s) {
    char b[16384]; int st = 0; error_code e;
    auto tok = as::redirect_error(use_awaitable, e);
    for (;;) {
        size_t n = co_await s.async_read_some(as::buffer(b), tok); if (e) co_return;
        auto o = answer(b, n, &st); if (!o.size()) continue;
        co_await as::async_write(s, o, tok); if (e) co_return;
    }
}
static void serve(const char *kind, int port) {
    for (int i = 0; i < 64; i++) memcpy(respN + size_t(i) * RL, HTTP_RESP, RL);
    as::io_context c(1);
    tcp::acceptor a(c, tcp::endpoint(as::ip::address_v4::loopback(), (unsigned short)port));
    if (is(kind, "cb")) accept_cb(a);
    else if (is(kind, "co"))
        as::co_spawn(c, [&]() -> awaitable<void> { for (;;) { auto s = co_await a.async_accept(use_awaitable); s.set_option(tcp::no_delay(true)); as::co_spawn(c, one(std::move(s)), as::detached); } }(), as::detached);
    else
        as::spawn(c, [&](as::yield_context y) { for (;;) { tcp::socket s = a.async_accept(y); s.set_option(tcp::no_delay(true));
            as::spawn(c, [s = std::move(s)](as::yield_context z) mutable {
                char b[16384]; int st = 0; error_code e;
                for (;;) { size_t n = s.async_read_some(as::buffer(b), z[e]); if (e) return; auto o = answer(b, n, &st); if (!o.size()) continue; as::async_write(s, o, z[e]); if (e) return; }
            }, as::detached); } }, as::detached);
    c.run();
}
int main(int argc, char **argv) {
    const char *w = argc > 1 ? argv[1] : "";
    if (is(w, "W1")) w1(); else if (is(w, "W2")) w2();
    else if (is(w, "W3co")) w3(atol(argv[2]), false); else if (is(w, "W3spawn")) w3(atol(argv[2]), true);
    else if (is(w, "W4")) w4(); else if (is(w, "W4co")) w4t(false); else if (is(w, "W4spawn")) w4t(true);
    else if (is(w, "W4b")) w4b(); else if (is(w, "W5")) w5(); else if (is(w, "W6")) w6(); else if (is(w, "W6b")) w6b();
    else if (is(w, "W7")) { w7(1, "W7_queue_1"); w7(128, "W7_queue_128"); }
    else if (is(w, "echo")) serve(argv[2], atoi(argv[3]));
    else if (is(w, "http")) { http = true; serve(argv[2], atoi(argv[3])); }
}

/* SPDX-License-Identifier: MIT */
/* fiber_bench.cpp - Boost.Context bare switch (fcontext, callcc, fiber) and Boost.Fiber workloads. */
#include "common.h"
#include <boost/context/detail/fcontext.hpp>
#include <boost/context/continuation.hpp>
#include <boost/context/fiber.hpp>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <memory>
#include <vector>
#define P "boost.fiber"
namespace bf = boost::fibers;
namespace bc = boost::context;
static void fc(bc::detail::transfer_t t) { for (;;) t = bc::detail::jump_fcontext(t.fctx, nullptr); }
static void w1() {
    uint64_t t;
    char *s = (char *)malloc(65536);
    auto c = bc::detail::make_fcontext(s + 65536, 65536, fc);
    t = cpu_ns();
    for (int i = 0; i < N_YIELD / 2; i++) c = bc::detail::jump_fcontext(c, nullptr).fctx;
    emit("boost.fcontext", "W1_bare_switch", double(cpu_ns() - t) / N_YIELD, "ns");
    auto k = bc::callcc([](bc::continuation &&m) { for (;;) m = m.resume(); return std::move(m); });
    t = cpu_ns();
    for (int i = 0; i < N_YIELD / 2; i++) k = k.resume();
    emit("boost.callcc", "W1_bare_switch", double(cpu_ns() - t) / N_YIELD, "ns");
    auto y = [] { for (int i = 0; i < N_YIELD / 2; i++) boost::this_fiber::yield(); };
    t = cpu_ns();
    bf::fiber a(bf::launch::post, y), b(bf::launch::post, y);
    a.join(); b.join();
    emit(P, "W1_yield", double(cpu_ns() - t) / N_YIELD, "ns");
    _exit(0); // the bare contexts never finish
}
template <class S> static void w2(const char *peer, S st) {
    uint64_t t = cpu_ns();
    for (int i = 0; i < N_SPAWN; i++) bf::fiber(bf::launch::post, std::allocator_arg, st, [] {}).join();
    emit(peer, "W2_spawn_join", double(cpu_ns() - t) / N_SPAWN, "ns");
    std::vector<bf::fiber> v(N_BATCH);
    for (int r = 0; r < 2; r++) {
        t = cpu_ns();
        for (auto &f : v) f = bf::fiber(bf::launch::post, std::allocator_arg, st, [] {});
        for (auto &f : v) f.join();
        emit(peer, r ? "W2b_spawn_batch_warm" : "W2b_spawn_batch_cold", double(cpu_ns() - t) / N_BATCH, "ns");
    }
}
static void w3(long n) {
    bf::fixedsize_stack st(65536); // touched lazily: 64 KiB virtual
    long m = mem_bytes(), left = n;
    for (long i = 0; i < n; i++) {
        bf::fiber(bf::launch::dispatch, std::allocator_arg, st, [&] { left--; boost::this_fiber::sleep_for(std::chrono::hours(1)); }).detach();
    }
    if (left) _exit(1);
    emit(P, n == 1000000 ? "W3_idle_1M" : "W3_idle_100k", double(mem_bytes() - m) / double(n), "B");
    _exit(0);
}
static void w4() {
    uint64_t c = cpu_ns(), s = SEED; long left = N_TIMER;
    bf::fixedsize_stack st(65536);
    for (int i = 0; i < N_TIMER; i++) {
        bf::fiber(bf::launch::dispatch, std::allocator_arg, st, [&] {
            boost::this_fiber::sleep_for(std::chrono::milliseconds(1 + rnd_(&s) % 1000)); left--;
        }).detach();
    }
    while (left) boost::this_fiber::sleep_for(std::chrono::milliseconds(5));
    emit(P, "W4_sleep_task", double(cpu_ns() - c) / N_TIMER, "ns-cpu");
}
static void w7(size_t cap, const char *n) {
    bf::buffered_channel<uint64_t> ch(cap);
    static uint64_t sum; 
    uint64_t t = cpu_ns();
    bf::fiber p(bf::launch::post, [&] { for (uint64_t i = 0; i < N_QUEUE; i++) ch.push(i); ch.close(); });
    bf::fiber c(bf::launch::post, [&] { uint64_t v; while (ch.pop(v) == bf::channel_op_status::success) sum += v; });
    p.join(); c.join();
    emit(P, n, double(cpu_ns() - t) / N_QUEUE, "ns");
}
int main(int argc, char **argv) {
    const char *w = argc > 1 ? argv[1] : "";
    if (is(w, "W1")) w1();
    else if (is(w, "W2")) { w2(P, bf::fixedsize_stack()); w2("boost.fiber-pooled", bf::pooled_fixedsize_stack(65536)); }
    else if (is(w, "W3")) w3(atol(argv[2]));
    else if (is(w, "W4")) w4();
    else if (is(w, "W7")) { w7(2, "W7_queue_1"); w7(128, "W7_queue_128"); }
}

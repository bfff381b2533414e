// SPDX-License-Identifier: Apache-2.0
// A few threads that share out short tasks, thousands of times a second. Whoever is free takes the next task, so that a
// thread which the system has put aside keeps nobody waiting, unless it was in the middle of one.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace bbcodec::local {

class Crew {
  public:
    explicit Crew(int threads) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    }
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew() {
        stop_.store(true, std::memory_order_release);
        for (std::thread& worker : workers_) worker.join();
    }

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls job(worker, task) for task = 0 .. tasks - 1 (below 2^15), and returns when all are done. The calling thread, worker 0, does
    // `first` before it takes a task; the others may begin at once. Nothing may throw.
    template <typename First>
    void run(std::uint32_t tasks, const std::function<void(int, std::uint32_t)>& job, First first) {
        job_ = &job;
        done_.store(0, std::memory_order_relaxed);
        tickets_.store(std::uint64_t{tasks} << 32, std::memory_order_release);
        first();
        while (take(0)) {
        }
        wait_until([&] { return done_.load(std::memory_order_acquire) == tasks; });
    }
    void run(std::uint32_t tasks, const std::function<void(int, std::uint32_t)>& job) {
        run(tasks, job, [] {});
    }

    // Waits for what another thread is about to do.
    template <typename Condition>
    static void wait_until(Condition done) {
        for (int spins = 0; !done();) rest(spins);
    }

  private:
    // Does the next task, if there is one: worker 0 takes them from the back, the others from the front, so that each finds most of
    // the data it had the last time in its cache. The number of tasks travels with the ticket: a valid ticket keeps its
    // round open.
    bool take(int worker) {
        const std::uint64_t ticket = tickets_.fetch_add(worker == 0 ? 1 : kFront, std::memory_order_acq_rel);
        if (!valid(ticket)) return false;
        const std::uint32_t front = ticket / kFront & 0xffff, back = ticket & 0xffff;
        (*job_)(worker, worker == 0 ? static_cast<std::uint32_t>(ticket >> 32) - 1 - back : front);
        done_.fetch_add(1, std::memory_order_release);
        return true;
    }

    static bool valid(std::uint64_t ticket) { return (ticket / kFront & 0xffff) + (ticket & 0xffff) < ticket >> 32; }
    bool waiting() const { return valid(tickets_.load(std::memory_order_relaxed)); }

    void work(int worker) {
        for (int spins = 0; !stop_.load(std::memory_order_acquire);)
            if (waiting() && take(worker))
                spins = 0;
            else
                rest(spins);
    }

    // Between two looks at what another thread does.
    static void rest(int& spins) {
        if (++spins > kSpins)
            std::this_thread::yield();
        else
            pause();
    }
    static void pause() {
#if BBCODEC_X86
        __builtin_ia32_pause();
#endif
    }

    static constexpr std::uint64_t kFront = 1 << 16;
    static constexpr int kSpins = 1000;
    std::atomic<bool> stop_{false};
    alignas(64) std::atomic<std::uint64_t> tickets_{0};  // tasks << 32 | taken from the front << 16 | from the back
    alignas(64) std::atomic<std::uint32_t> done_{0};
    const std::function<void(int, std::uint32_t)>* job_ = nullptr;
    std::vector<std::thread> workers_;
};

}  // namespace bbcodec::local

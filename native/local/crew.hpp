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

    // Calls job(worker, task) for task = 0 .. tasks - 1, and returns when all are done. It must not throw.
    void run(std::uint32_t tasks, const std::function<void(int, std::uint32_t)>& job) {
        job_ = &job;
        done_.store(0, std::memory_order_relaxed);
        tickets_.store(std::uint64_t{tasks} << 32, std::memory_order_release);
        while (take(0)) {
        }
        while (done_.load(std::memory_order_acquire) != tasks) {
        }
    }

  private:
    // Does the next task, if there is one. The number of tasks travels with the ticket: a valid ticket keeps its round open.
    bool take(int worker) {
        const std::uint64_t ticket = tickets_.fetch_add(1, std::memory_order_acq_rel);
        const std::uint32_t task = static_cast<std::uint32_t>(ticket), tasks = static_cast<std::uint32_t>(ticket >> 32);
        if (task >= tasks) return false;
        (*job_)(worker, task);
        done_.fetch_add(1, std::memory_order_release);
        return true;
    }

    bool waiting() const {
        const std::uint64_t ticket = tickets_.load(std::memory_order_relaxed);
        return static_cast<std::uint32_t>(ticket) < static_cast<std::uint32_t>(ticket >> 32);
    }

    void work(int worker) {
        for (int spins = 0; !stop_.load(std::memory_order_acquire);)
            if (waiting() && take(worker))
                spins = 0;
            else if (++spins > kSpins)
                std::this_thread::yield();
    }

    static constexpr int kSpins = 2000;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> tickets_{0};  // tasks << 32 | next task
    std::atomic<std::uint32_t> done_{0};
    const std::function<void(int, std::uint32_t)>* job_ = nullptr;
    std::vector<std::thread> workers_;
};

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// A few threads that run the same function on parts of a range, again and again, at little cost for each time.
#pragma once

#include <atomic>
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
        job_ = nullptr;
        round_.fetch_add(1, std::memory_order_release);
        for (std::thread& worker : workers_) worker.join();
    }

    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls job(i) for i = 0 .. size() - 1, one on each thread, and returns when all are done. It must not throw.
    void run(const std::function<void(int)>& job) {
        job_ = &job;
        left_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
        round_.fetch_add(1, std::memory_order_release);
        job(0);
        for (int spins = 0; left_.load(std::memory_order_acquire) != 0; ++spins) pause(spins);
    }

  private:
    static void pause(int spins) {
        if (spins > kSpins) std::this_thread::yield();
    }

    void work(int index) {
        for (unsigned seen = 0;;) {
            for (int spins = 0; round_.load(std::memory_order_acquire) == seen; ++spins) pause(spins);
            seen = seen + 1;
            if (job_ == nullptr) return;
            (*job_)(index);
            left_.fetch_sub(1, std::memory_order_release);
        }
    }

    static constexpr int kSpins = 2000;
    std::atomic<unsigned> round_{0};
    std::atomic<int> left_{0};
    const std::function<void(int)>* job_ = nullptr;
    std::vector<std::thread> workers_;
};

}  // namespace bbcodec::local

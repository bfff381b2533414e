// SPDX-License-Identifier: Apache-2.0
// A few threads that share out short tasks, thousands of times a second. Whoever is free takes the next task: a thread
// that the system has put aside delays the others only if it was inside of a task.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace bbcodec {

class Crew {
  public:
    // Starts threads - 1 threads, or fewer where the system gives no more. None is needed: the caller works too.
    explicit Crew(int threads);
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;
    ~Crew();

    // The number of workers, at least 1.
    int size() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls task(worker, i) for i = 0 to tasks - 1 (below 2^15), and returns when all are done. The calling thread is
    // worker 0: it calls `first` before it takes a task; the others may begin at once. Nothing may throw.
    template <typename Task, typename First>
    void run(std::uint32_t tasks, const Task& task, First first) {
        open(
            tasks, [](const void* of, int worker, std::uint32_t i) { (*static_cast<const Task*>(of))(worker, i); }, &task);
        first();
        finish(tasks);
    }

    // Waits for what another thread is about to do.
    template <typename Condition>
    static void wait_until(Condition done) {
        for (int spins = 0; !done();) rest(spins);
    }

  private:
    using Call = void (*)(const void* task, int worker, std::uint32_t i);

    void open(std::uint32_t tasks, Call call, const void* task);
    void finish(std::uint32_t tasks);
    bool take(int worker);
    bool waiting() const;
    void work(int worker);
    static void rest(int& spins);

    std::atomic<bool> stop_{false};
    alignas(64) std::atomic<std::uint64_t> tickets_{0};  // tasks << 32 | taken from the front << 16 | from the back
    alignas(64) std::atomic<std::uint32_t> done_{0};
    Call call_ = nullptr;
    const void* task_ = nullptr;
    std::vector<std::thread> workers_;
};

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
#include "crew.hpp"

#include <exception>

#include "float_mode.hpp"

#if BBCODEC_X86
#include "x86/cpu.hpp"
#endif

namespace bbcodec {
namespace {

constexpr std::uint64_t kFront = 1 << 16;
constexpr int kSpins = 1000;  // looks at what another thread does, before the system may run something else

bool valid(std::uint64_t ticket) { return (ticket / kFront & 0xffff) + (ticket & 0xffff) < ticket >> 32; }

}  // namespace

Crew::Crew(int threads) {
    try {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::exception&) {
        // The system gives no more threads, or no memory for them: those that run do all the work.
    }
}

Crew::~Crew() {
    stop_.store(true, std::memory_order_release);
    for (std::thread& worker : workers_) worker.join();
}

void Crew::open(std::uint32_t tasks, Call call, const void* task) {
    call_ = call, task_ = task;
    done_.store(0, std::memory_order_relaxed);
    tickets_.store(std::uint64_t{tasks} << 32, std::memory_order_release);
}

void Crew::finish(std::uint32_t tasks) {
    while (take(0)) {
    }
    wait_until([&] { return done_.load(std::memory_order_acquire) == tasks; });
}

// Does the next task, if there is one. Worker 0 takes tasks from the back, the others from the front, so that each finds
// most of the data it had the last time in its cache. The number of tasks travels with the ticket: a valid ticket keeps
// its round open.
bool Crew::take(int worker) {
    const std::uint64_t ticket = tickets_.fetch_add(worker == 0 ? 1 : kFront, std::memory_order_acq_rel);
    if (!valid(ticket)) return false;
    const std::uint32_t front = ticket / kFront & 0xffff, back = ticket & 0xffff;
    call_(task_, worker, worker == 0 ? static_cast<std::uint32_t>(ticket >> 32) - 1 - back : front);
    done_.fetch_add(1, std::memory_order_release);
    return true;
}

bool Crew::waiting() const { return valid(tickets_.load(std::memory_order_relaxed)); }

void Crew::work(int worker) {
    const NormalFloats normal;
    for (int spins = 0; !stop_.load(std::memory_order_acquire);)
        if (waiting() && take(worker))
            spins = 0;
        else
            rest(spins);
}

void Crew::rest(int& spins) {
    if (++spins > kSpins) return std::this_thread::yield();
#if BBCODEC_X86
    x86::pause();
#endif
}

}  // namespace bbcodec

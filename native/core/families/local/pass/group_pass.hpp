// SPDX-License-Identifier: Apache-2.0
// One pass over a group, as docs/local.md defines it: which chunk is worked on when, and by which thread.
//
// Compiled once for each instruction set, from the same text. A file includes the header of its vectors first, and then
// this one; no include guard.
#include "families/local/pass/parts.hpp"

namespace bbcodec::local {
namespace {

constexpr int kNothing = -1;

class GroupPass final : public Pass {
  public:
    explicit GroupPass(const PassJob& job)
        : crew_(useful_threads(job)), coder_(job, crew_.size()), layers_(static_cast<std::size_t>(crew_.size())) {
        if (job.model->latents) statistics_.resize(job.blocks * kStatistics);
    }

    void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) override {
        coder_.mode().counting = false;
        const int channels = coder_.channels();
        walk(
            [&](int c, std::size_t k, int worker) {
                coder_.predict(c, k, layers_[worker]);
                coder_.read(c, k, blocks);
                coder_.absorb(c, k, worker, start + c * group_.count, freq + c * group_.count);
            },
            [&] { start += channels * group_.count, freq += channels * group_.count; });
    }

    void survey(const std::uint8_t* const* blocks) override {
        coder_.mode().blind = true;
        walk(
            [&](int c, std::size_t k, int worker) {
                coder_.predict(c, k, layers_[worker]);
                coder_.read(c, k, blocks);
                coder_.absorb(c, k, worker, nullptr, nullptr);
            },
            [] {});
    }

    void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) override {
        coder_.mode().blind = true;
        const int channels = coder_.channels();
        walk(
            [&](int c, std::size_t k, int worker) {
                coder_.predict(c, k, layers_[worker]);
                coder_.read(c, k, &block);
                const Chunk& chunk = group_.chunks[k];
                coder_.each_active(k, [&](int l, std::size_t pixel) {
                    std::int8_t* f = features + (pixel * channels + c) * kFeatures;
                    for (int i = 0; i < kFeatures; ++i) f[i] = static_cast<std::int8_t>(chunk.features.feature(i)[l]);
                    std::int32_t* fact = facts + (pixel * channels + c) * 3;
                    fact[0] = chunk.mean.v[l], fact[1] = chunk.spread.v[l], fact[2] = group_.samples[k].v[l];
                });
                coder_.absorb(c, k, worker, nullptr, nullptr);
            },
            [] {});
    }

    std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                          std::size_t n_words) override {
        Source from{head, words, n_words};
        coder_.mode().decoding = true;
        const auto start = [&](std::size_t k, int worker, int t) {
            if (t < group_.end && coder_.enter(k, t)) coder_.predict(0, k, layers_[worker]);
        };
        spread([&](std::size_t k, int worker) { start(k, worker, 0); });
        int due =
            kNothing;  // the channel whose last layer has still to learn: beside the next work, which is that of other channels
        for (int t = 0; t < group_.end; ++t) {
            coder_.begin(t);
            group_.list_chunks();
            for (int c = 0; c < coder_.channels(); ++c) {
                bool enough = true;
                const bool last = c + 1 == coder_.channels();
                // A chunk's next time begins at once, unless the only channel has samples of other chunks and a step of
                // learning to wait for.
                const bool go_on = last && coder_.channels() > 1;
                const auto after_samples = [&](std::size_t k, int worker) {
                    if (group_.chunks[k].lanes.busy) {
                        coder_.write(c, k, blocks);
                        coder_.absorb(c, k, worker, nullptr, nullptr);
                        if (!last) coder_.predict(c + 1, k, layers_[worker]);
                    }
                    if (go_on) start(k, worker, t + 1);
                };
                follow([&] { enough = pop(from); }, after_samples, due);
                if (!enough) return -1;
                due = begin_step(c);
                if (last && !go_on) {
                    share(
                        0, [](std::size_t, int) {}, due);
                    due = kNothing;
                    spread([&](std::size_t k, int worker) { start(k, worker, t + 1); });
                }
            }
            flush_sometimes(t);
        }
        return static_cast<std::ptrdiff_t>(from.taken);
    }

    void add_statistics(std::int64_t* sums) const override {
        for (std::size_t i = 0; i < statistics_.size(); ++i) sums[i] += statistics_[i];
        coder_.add_statistics(sums);
    }

  private:
    // No more threads than there are tasks at a time: a thread without work would only wait, and keep a core busy.
    static int useful_threads(const PassJob& job) {
        int slots = 0;
        for (std::size_t n = 0; n < job.blocks; ++n) slots += smaller(job.shapes[n].height, (job.shapes[n].width + 2) / 3);
        const int chunks = (slots + kChunk - 1) / kChunk;
        return smaller(job.threads, larger(chunks + kParts, job.channels * kParts));
    }

    bool pop(Source& from) {
        bool enough = true;
        with_components(coder_.model().components, [&](auto j) {
            enough = pop_all<decltype(j)::value>(coder_.model().tables, coder_.mixtures(), group_, from, popped_);
        });
        return enough;
    }

    // Calls first() and then task(0 .. tasks - 1, worker); before those, the parts of a channel's step if one is due.
    template <typename F>
    void share(std::size_t tasks, F task, int due) {
        share(tasks, task, due, [] {});
    }
    template <typename F, typename First>
    void share(std::size_t tasks, F task, int due, First first) {
        const int extra = due == kNothing ? 0 : kParts;
        const auto any_task = [&](int worker, std::uint32_t i) {
            if (static_cast<int>(i) < extra)
                coder_.learn_part(due, static_cast<int>(i));
            else
                task(i - extra, worker);
        };
        if (crew_.size() == 1 || tasks + extra < 2) {
            first();
            for (std::size_t i = 0; i < tasks + extra; ++i) any_task(0, static_cast<std::uint32_t>(i));
        } else {
            crew_.run(static_cast<std::uint32_t>(tasks + extra), any_task, first);
        }
    }

    // Calls job(chunk, worker) for all chunks.
    template <typename F>
    void spread(F job, int due = kNothing) {
        share(group_.chunks.size(), job, due);
    }

    // Calls first(), which pops lane after lane and counts them in popped_, and job(chunk, worker) for each chunk after its
    // lanes are popped.
    template <typename First, typename F>
    void follow(First first, F job, int due) {
        popped_.store(0, std::memory_order_relaxed);
        const auto ready = [&](std::size_t i, int worker) {
            const std::size_t k = group_.in_order[i];
            Crew::wait_until([&] { return popped_.load(std::memory_order_acquire) >= group_.needed[k]; });
            job(k, worker);
        };
        const auto pop = [&] {
            first();
            popped_.store(group_.count, std::memory_order_release);  // also if it gave up
        };
        share(group_.in_order.size(), ready, due, pop);
    }

    // Calls job(channel, chunk, worker) for all times, chunks and channels in turn; then(), after each time.
    template <typename F, typename Then>
    void walk(F job, Then then) {
        for (int t = 0; t < group_.end; ++t) {
            coder_.begin(t);
            spread([&](std::size_t k, int worker) {
                if (!coder_.enter(k, t)) return;
                for (int c = 0; c < coder_.channels(); ++c) job(c, k, worker);
            });
            learn();
            flush_sometimes(t);
            then();
        }
    }

    // Begins the step of a channel's last layer, whose parts are then due; kNothing if it has none at this time.
    int begin_step(int c) {
        if (!coder_.learns()) return kNothing;
        coder_.begin_step(c);
        return c;
    }

    void learn() {
        if (!coder_.learns()) return;
        for (int c = 0; c < coder_.channels(); ++c) coder_.begin_step(c);
        share(
            static_cast<std::size_t>(coder_.channels() * kParts),
            [&](std::size_t i, int) { coder_.learn_part(static_cast<int>(i) / kParts, static_cast<int>(i) % kParts); }, kNothing);
    }

    // The sums of lanes have 32 bits.
    void flush_sometimes(int t) {
        if (!coder_.model().latents || t % 65536 != 65535) return;
        coder_.add_statistics(statistics_.data());
        coder_.clear_statistics();
    }

    Crew crew_;
    ChunkCoder coder_;
    Group& group_ = coder_.group();
    Buffer<Layers> layers_;  // of each worker
    Buffer<std::int64_t> statistics_;
    alignas(64) std::atomic<std::size_t> popped_{0};  // in a line of its own: others wait for it
};

}  // namespace
}  // namespace bbcodec::local

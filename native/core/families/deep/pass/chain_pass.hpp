// SPDX-License-Identifier: Apache-2.0
// One pass over the planes of a chain, as docs/deep.md defines it: which chunk is worked on when, and by which thread.
//
// Compiled once for each instruction set, from the same text. A file includes the header of its vectors first, and then
// this one; no include guard.
#include "families/deep/pass.hpp"
#include "families/local/pass/parts.hpp"

// The order matters: these build on each other.
#include "families/deep/pass/references.hpp"

#include "families/deep/pass/features.hpp"
#include "families/deep/pass/fit.hpp"
#include "families/deep/pass/plane_coder.hpp"
#include "families/deep/pass/symbols.hpp"

namespace bbcodec::deep {
namespace {

class ChainPass final : public Pass {
  public:
    explicit ChainPass(const ChainJob& job)
        : job_(job),
          crew_(useful_threads(job)),
          layers_(static_cast<std::size_t>(crew_.size())),
          heads_(kMaxRoles),
          samples_(job.count),
          errors_(job.count),
          last_use_(job.count) {
        last_use_.fill(0);
        for (std::size_t p = 0; p < job.count; ++p) {
            for (const int reference : job.planes[p].reference)
                if (reference >= 0) last_use_[static_cast<std::size_t>(reference)] = p;
            Head& head = heads_[static_cast<std::size_t>(job.planes[p].role)];
            if (!head.sums.empty()) continue;
            head.layer = local::LastLayer(job.model->base, job.planes[p].kind());
            head.sums.resize(static_cast<std::size_t>(crew_.size()));
            for (Buffer<std::int32_t>& sums : head.sums)
                sums.resize(static_cast<std::size_t>(head.layer.rows()) * local::kMaxInputs);
        }
    }

    void plan(const std::uint16_t* const* planes, Symbols& to) override {
        each_plane([&](PlaneCoder& coder, std::size_t p) {
            Noter noter(coder, coder.group().lanes.size());
            Symbols::Place place{};
            walk(
                coder, [&](std::size_t n) { place = to.begin(n); },
                [&](std::size_t k, int worker, bool learning) {
                    coder.predict(k, layers_[worker], false, false, learning);
                    coder.read(k, planes[p]);
                    coder.absorb(k, coder.samples(k), learning, worker, &place);
                },
                [&] { noter.note(to); });
        });
    }

    void observe(const std::uint16_t* const* planes, std::int8_t* features, std::int32_t* facts) override {
        const std::size_t pixels = static_cast<std::size_t>(job_.height) * job_.width;
        each_plane([&](PlaneCoder& coder, std::size_t p) {
            walk(
                coder, [](std::size_t) {},
                [&](std::size_t k, int worker, bool) {
                    coder.predict(k, layers_[worker], true, false, false);
                    const local::Chunk& chunk = coder.group().chunks[k];
                    Row x;
                    x.all() = Ints{};
                    coder.each_active(k, [&](int l, std::size_t pixel) {
                        x.v[l] = planes[p][pixel];
                        std::int8_t* f = features + (p * pixels + pixel) * local::kFeatures;
                        for (int i = 0; i < local::kFeatures; ++i)
                            f[i] = static_cast<std::int8_t>(chunk.features.feature(i)[l]);
                        std::int32_t* fact = facts + (p * pixels + pixel) * 3;
                        fact[0] = chunk.mean.v[l], fact[1] = chunk.spread.v[l], fact[2] = x.v[l];
                    });
                    coder.absorb(k, x.all(), false, worker, nullptr);
                },
                [] {});
        });
    }

    Decoded decode(std::uint16_t* const* planes, std::uint64_t* head, const std::uint32_t* words, std::size_t n_words) override {
        local::Source from{head, words, n_words};
        Decoded result;
        each_plane([&](PlaneCoder& coder, std::size_t p) {
            if (result.enough && result.possible) decode_plane(coder, planes[p], from, result);
        });
        result.taken = from.taken;
        return result;
    }

  private:
    // No more threads than there are tasks at a time: a thread without work would only wait, and keep a core busy.
    static int useful_threads(const ChainJob& job) {
        const int slots = smaller(job.height, (job.width + 2) / local::kCell);
        return smaller(job.threads, (slots + kChunk - 1) / kChunk + kParts);
    }

    // Calls f(coder, p) for all planes. A plane is kept as long as another refers to it.
    template <typename F>
    void each_plane(F f) {
        for (std::size_t p = 0; p < job_.count; ++p) {
            const Plane& plane = job_.planes[p];
            Reference references[kReferences];
            int n = 0;
            for (const int reference : plane.reference)
                if (reference >= 0) {
                    const std::size_t at = static_cast<std::size_t>(reference);
                    references[n++] = {&samples_[at], &errors_[at]};
                }
            const bool keep = last_use_[p] > p;
            PlaneCoder coder(*job_.model, plane, {job_.height, job_.width}, references, heads_[static_cast<std::size_t>(plane.role)],
                             keep ? &samples_[p] : nullptr, keep ? &errors_[p] : nullptr);
            f(coder, p);
            for (const int reference : plane.reference)
                if (reference >= 0 && last_use_[static_cast<std::size_t>(reference)] == p)
                    samples_[static_cast<std::size_t>(reference)] = History(), errors_[static_cast<std::size_t>(reference)] = History();
        }
    }

    bool learns_at(int t) const { return job_.model->base.rate != 0 && t % job_.model->base.every == 0; }

    // Calls begin(lanes), job(chunk, worker, learning) for all chunks and end() for every time that has lanes.
    template <typename Begin, typename F, typename End>
    void walk(PlaneCoder& coder, Begin begin, F job, End end) {
        local::Group& group = coder.group();
        for (int t = 0; t < group.end; ++t) {
            group.list_lanes(t);
            const bool has_lanes = group.count > 0, learning = has_lanes && learns_at(t);
            if (has_lanes) begin(group.count);
            share(group.chunks.size(), [&](std::size_t k, int worker) {
                if (coder.enter(k, t)) job(k, worker, learning);
            });
            if (has_lanes) end();
            if (learning) learn(coder);
        }
    }

    void decode_plane(PlaneCoder& coder, std::uint16_t* plane, local::Source& from, Decoded& result) {
        local::Group& group = coder.group();
        Popper popper(coder, from);
        std::atomic<bool> possible{true};
        const auto start = [&](int t) {
            share(group.chunks.size(), [&](std::size_t k, int worker) {
                if (coder.enter(k, t)) coder.predict(k, layers_[worker], false, true, learns_at(t));
            });
        };
        start(0);
        for (int t = 0; t < group.end; ++t) {
            group.list_lanes(t);
            group.list_chunks();
            popped_.store(0, std::memory_order_relaxed);
            const bool learning = group.count > 0 && learns_at(t);
            const auto ready = [&](std::size_t i, int worker) {
                const std::size_t k = group.in_order[i];
                Crew::wait_until([&] { return popped_.load(std::memory_order_acquire) >= group.needed[k]; });
                if (!group.chunks[k].lanes.busy) return;
                if (!coder.write(k, plane)) possible.store(false, std::memory_order_relaxed);
                coder.absorb(k, coder.samples(k), learning, worker, nullptr);
            };
            share(group.in_order.size(), ready, [&] {
                result.enough = popper.pop(popped_);
                popped_.store(group.count, std::memory_order_release);  // also if it gave up
            });
            result.possible = possible.load(std::memory_order_relaxed);
            if (!result.enough || !result.possible) return;
            if (learning) learn(coder);
            if (t + 1 < group.end) start(t + 1);
        }
    }

    void learn(PlaneCoder& coder) {
        coder.begin_step();
        share(kParts, [&](std::size_t i, int) { coder.learn_part(static_cast<int>(i)); });
    }

    // Calls first() and then task(0 .. tasks - 1, worker).
    template <typename F>
    void share(std::size_t tasks, F task) {
        share(tasks, task, [] {});
    }
    template <typename F, typename First>
    void share(std::size_t tasks, F task, First first) {
        if (crew_.size() == 1 || tasks < 2) {
            first();
            for (std::size_t i = 0; i < tasks; ++i) task(i, 0);
        } else {
            crew_.run(
                static_cast<std::uint32_t>(tasks), [&](int worker, std::uint32_t i) { task(i, worker); }, first);
        }
    }

    const ChainJob job_;
    Crew crew_;
    Buffer<local::Layers> layers_;  // of each worker
    Buffer<Head> heads_;            // of each role
    Buffer<History> samples_, errors_;
    Buffer<std::size_t> last_use_;  // the last plane that refers to each
    alignas(64) std::atomic<std::size_t> popped_{0};  // in a line of its own: others wait for it
};

}  // namespace
}  // namespace bbcodec::deep

// SPDX-License-Identifier: Apache-2.0
// One pass over a group, as docs/local.md defines it. Compiled once for each instruction set (pass_*.cpp), from the same
// text: floats and doubles are never contracted, so that every target gives the same numbers.
//
// No include guard: each pass_*.cpp defines BBCODEC_LOCAL_TARGET (0 portable, 1 AVX2, 2 AVX-512, 3 with VNNI) and
// BBCODEC_LOCAL_NAME and includes this once, its standard headers before.
#include "families/local/pass/vectors.hpp"

#include "families/local/pass/around.hpp"
#include "families/local/pass/features.hpp"
#include "families/local/pass/fit.hpp"
#include "families/local/pass/last_layer.hpp"
#include "families/local/pass/mixture.hpp"
#include "families/local/pass/network.hpp"

// These build on those.
#include "families/local/pass/group.hpp"
#include "families/local/pass/side.hpp"
#include "families/local/pass/symbols.hpp"

namespace bbcodec::local {
namespace {

constexpr int kWeightUnit = 1572864;  // for a largest weight of 64
constexpr int kCodingOrder[kChannels] = {1, 0, 2};
constexpr int kParts = 2;  // of a step of learning, to be shared out
constexpr int kNothing = -1;

class GroupPass final : public Pass {
  public:
    GroupPass(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side, int threads)
        : m_(model),
          channels_(channels),
          group_(shapes, last_state(model, channels).offset + last_state(model, channels).size,
                 last_state(model, channels).place + last_state(model, channels).terms, model.prior.data()),
          sides_(model, side, group_.chunks),
          crew_(threads) {
        const std::size_t chunks = group_.chunks.size();
        for (int c = 0; c < channels; ++c) {
            sample_[c].resize(chunks, 128), error_[c].resize(chunks, 1280), slow_[c].resize(chunks, 0);
            layer_[c] = LastLayer(m_, c);
            sums_[c].assign(crew_.size(), Lines<std::int32_t>(static_cast<std::size_t>(layer_[c].rows()) * kMaxInputs));
            for (int q = 0; q < kPredictors; ++q) remember_[c][q] = remember_for(m_.state[c][q]);
        }
        mix_.resize(m_.components, chunks);
        scratch_.resize(crew_.size());
        if (m_.latents) {
            for (Chunk& chunk : group_.chunks) chunk.statistics.assign(kStatistics, Row());
            statistics_.assign(group_.blocks.size() * kStatistics, 0);
        }
    }

    void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) override {
        given_ = blocks, counting_ = false;
        walk([&](int c, std::size_t k, int worker) {
            predict(c, k, scratch_[worker]);
            read(c, k);
            absorb(c, k, worker, start + c * group_.count, freq + c * group_.count);
        }, [&] { start += channels_ * group_.count, freq += channels_ * group_.count; });
    }

    void survey(const std::uint8_t* const* blocks) override {
        given_ = blocks, blind_ = true;
        walk([&](int c, std::size_t k, int worker) {
            predict(c, k, scratch_[worker]);
            read(c, k);
            absorb(c, k, worker, nullptr, nullptr);
        }, [] {});
    }

    void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) override {
        given_ = &block, blind_ = true;
        walk([&](int c, std::size_t k, int worker) {
            predict(c, k, scratch_[worker]);
            read(c, k);
            const Chunk& chunk = group_.chunks[k];
            each_active(k, [&](int l, std::size_t pixel) {
                std::int8_t* f = features + (pixel * channels_ + c) * kFeatures;
                for (int i = 0; i < kFeatures; ++i) f[i] = static_cast<std::int8_t>(chunk.features.feature(i)[l]);
                std::int32_t* fact = facts + (pixel * channels_ + c) * 3;
                fact[0] = chunk.mean.v[l], fact[1] = chunk.spread.v[l], fact[2] = group_.samples[k].v[l];
            });
            absorb(c, k, worker, nullptr, nullptr);
        }, [] {});
    }

    std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                          std::size_t n_words) override {
        Source from{head, words, n_words};
        decoding_ = true;
        const auto start = [&](std::size_t k, int worker, int t) {
            if (t < group_.end && enter(k, t)) predict(0, k, scratch_[worker]);
        };
        spread([&](std::size_t k, int worker) { start(k, worker, 0); });
        int due = kNothing;  // the channel whose last layer has still to learn: beside the next work, which is that of other channels
        for (int t = 0; t < group_.end; ++t) {
            begin(t);
            group_.list_chunks();
            for (int c = 0; c < channels_; ++c) {
                bool enough = true;
                const bool last = c + 1 == channels_;
                // A chunk's next time begins at once, unless the only channel has samples of other chunks and a step of learning
                // to wait for.
                const bool go_on = last && channels_ > 1;
                follow([&] { with_components(m_.components, [&](auto j) { enough = pop_all<decltype(j)::value>(m_.tables, mix_, group_, from, popped_); }); },
                       [&](std::size_t k, int worker) {
                           Chunk& chunk = group_.chunks[k];
                           if (chunk.lanes.busy) {
                               write(c, k, blocks);
                               absorb(c, k, worker, nullptr, nullptr);
                               if (!last) predict(c + 1, k, scratch_[worker]);
                           }
                           if (go_on) start(k, worker, t + 1);
                       }, due);
                if (!enough) return -1;
                due = begin_step(c);
                if (last && !go_on) {
                    share(0, [](std::size_t, int) {}, due);
                    due = kNothing;
                    spread([&](std::size_t k, int worker) { start(k, worker, t + 1); });
                }
            }
            flush_sometimes();
        }
        return static_cast<std::ptrdiff_t>(from.taken);
    }

    std::vector<std::int64_t> statistics() const override {
        std::vector<std::int64_t> sums = statistics_;
        add_statistics(sums);
        return sums;
    }

  private:
    struct Scratch {
        Layers layers;
    };

    static const StateLayout& last_state(const Model& model, int channels) { return model.state[channels - 1][kPredictors - 1]; }

    // ---- times and workers ----

    void begin(int t) {
        time_ = t;
        group_.list_lanes(t);
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
                learn_part(due, static_cast<int>(i));
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

    // Calls first(), which pops lane after lane and counts them in popped_, and job(chunk, worker) for all chunks: of each after its
    // lanes.
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
            begin(t);
            spread([&](std::size_t k, int worker) {
                if (!enter(k, t)) return;
                for (int c = 0; c < channels_; ++c) job(c, k, worker);
            });
            learn();
            flush_sometimes();
            then();
        }
    }

    // Brings the chunk's lanes to time t; false if it has none.
    bool enter(std::size_t k, int t) {
        Chunk& chunk = group_.chunks[k];
        chunk.time = t;
        chunk.lanes.advance(t);
        if (!chunk.lanes.busy) return false;
        chunk.lanes.look(t, k, group_.chunks.size());
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int c = 0; c < channels_; ++c) chunk.slow_row[c].all() &= ~begun;
        sides_.tell(chunk);
        return true;
    }

    template <typename F>
    void each_active(std::size_t k, F f) {
        const Lanes& lanes = group_.chunks[k].lanes;
        for (int l = 0; l < kChunk; ++l)
            if (lanes.active.v[l]) f(l, static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l]);
    }

    std::size_t sample_at(std::size_t pixel, int c) const { return pixel * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0); }

    void read(int c, std::size_t k) {
        Chunk& chunk = group_.chunks[k];
        each_active(k, [&](int l, std::size_t pixel) {
            group_.samples[k].v[l] = given_[chunk.lanes.block[l]][sample_at(pixel, c)];
        });
    }

    void write(int c, std::size_t k, std::uint8_t* const* blocks) const {
        const Lanes& lanes = group_.chunks[k].lanes;
        Row pixel;
        pixel.all() = lanes.y.all() * lanes.width.all() + lanes.x.all();
        const bool all = !any(~lanes.active.all());
        for (int l = 0; l < kChunk; ++l)
            if (all || lanes.active.v[l])
                blocks[lanes.block[l]][sample_at(static_cast<std::uint32_t>(pixel.v[l]), c)] = static_cast<std::uint8_t>(group_.samples[k].v[l]);
    }

    int predictors(int c) const { return m_.alike[c] ? 1 : kPredictors; }
    // Whether the last layers take a step after this time.
    bool learns() const { return learns_at(time_) && group_.count > 0; }
    bool learns_at(int t) const { return m_.rate != 0 && !blind_ && t % m_.every == 0; }

    // ---- prediction ----

    void predict(int c, std::size_t k, Scratch& scratch) {
        Chunk& chunk = group_.chunks[k];
        const int place = chunk.time % kCell;
        Surroundings around;
        Floats d[kRegressors];
        const auto regressors = [&](int first, const Ints* samples, Ints from, int n) {
            Ints v[kOwn];
            for (int i = 0; i < n; ++i) v[i] = samples[i] - from, d[first + i] = __builtin_convertvector(v[i], Floats);
            chunk.cell[c].put(place, first, v, n);
        };
        look_around(c, k, around);
        const Ints middle = (around.own[0] + around.own[1]) >> 1;
        regressors(0, around.own, middle, m_.used_own);
        for (int n = 0; n < c; ++n) {
            const Ints* other = around.other[n];
            const Ints other_middle = (other[1] + other[2]) >> 1;
            regressors(kOwn + n * kEarlier, other, other_middle, m_.used_earlier);
        }
        for (int q = 0; q < predictors(c); ++q) {
            const StateLayout& layout = m_.state[c][q];
            Floats* w = reinterpret_cast<Floats*>(&chunk.weights[layout.place]);
            if (place == 0) begin_cell(layout, chunk, w);
            Floats v = (predicted(layout, w, d) + __builtin_convertvector(middle, Floats)) * 64.0f + 0.5f;
            v = v >= 0.0f ? v : Floats{};
            v = v <= 16320.0f ? v : Floats{} + 16320.0f;
            around.guess[q] = __builtin_convertvector(v, Ints);
        }
        if (m_.alike[c]) around.guess[1] = around.guess[0];
        const Ints mean = (around.guess[0] + around.guess[1]) >> 1;
        Ints f[kFeatures];
        const Ints spread = features(m_.tables, c, around, mean, f);
        chunk.middle.all() = middle, chunk.mean.all() = mean, chunk.spread.all() = spread;
        chunk.miss.all() = (magnitude(around.error[0]) + magnitude(around.error[1]) + magnitude(around.error[2]) + magnitude(around.error[3])) >> 2;
        chunk.features.set(f);
        if (blind_) return;
        Layers& layers = scratch.layers;
        const bool simple = m_.layers == 0 && chunk.side.empty(), learning = learns_at(chunk.time);
        if (simple) {
            layers.only(m_, c, f, chunk.features);
            if (learning) layers.part_lanes(m_);
        } else {
            layers.begin(m_, c, f, chunk.features, chunk.side.empty() ? nullptr : chunk.side.data());
            for (int n = 0; n < m_.layers; ++n) layers.hidden_layer(m_, n);
            layers.end(m_);
        }
        if (learning) layers.pair_lanes(m_, chunk.features, chunk.inputs);
        Ints out[3 * kMaxComponents];
        layers.outputs(m_, c, layer_[c].weights(), layer_[c].bias(), out);
        with_components(m_.components, [&](auto j) { make_mixtures<decltype(j)::value>(m_.tables, mean, spread, out, decoding_, mix_, k); });
    }

    void look_around(int c, std::size_t k, Surroundings& to) {
        const Chunk& chunk = group_.chunks[k];
        const Lanes& lanes = chunk.lanes;
        lanes.with_look([&](auto look) {
            const auto near = [&](const Recent& of, int i) { return look(of, lanes.at[i], lanes.index[i]); };
            for (int i = 0; i < kOwn; ++i) to.own[i] = near(sample_[c], i);
            for (int i = 0; i < 6; ++i) to.error[i] = near(error_[c], i);
            for (int n = 0; n < c; ++n) {
                to.other[n][0] = sample_[n].at(chunk.time, k).all(), to.other_error[n][0] = error_[n].at(chunk.time, k).all();
                for (int i = 1; i < kEarlier; ++i) to.other[n][i] = near(sample_[n], kEarlierAsOwn[i]);
                for (int i = 1; i < 3; ++i) to.other_error[n][i] = near(error_[n], i - 1);
            }
            to.slow = ((look(slow_[c], lanes.slow_near, lanes.slow_near_index) + 4 * chunk.slow_row[c].all()) >> 4) + 64;
        });
        to.alone = lanes.alone;
    }

    // The column's sums that come from elsewhere, the row's that begin, and the weights for them.
    void begin_cell(const StateLayout& layout, Chunk& chunk, Floats* w) const {
        Row *row = &chunk.row[layout.offset], *column = &chunk.column[layout.offset];
        const auto sums = [&](const Joint& joint) {
            return (chunk.lanes.y.v[joint.lane] > 0 ? joint.sums : m_.prior.data()) + layout.offset;
        };
        const Joint& first = chunk.from[0];  // a chunk has one
        for (std::size_t n = 1; n < chunk.from.size(); ++n) {
            const std::int32_t* from = sums(chunk.from[n]);
            const Ints here = kLaneNumbers == chunk.from[n].lane;
            for (int e = 0; e < layout.size; ++e) column[e].all() = here ? Ints{} + from[e] : column[e].all();
        }
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int e = 0; e < layout.size; ++e) row[e].all() &= ~begun;
        fit(layout, row, column, first.lane, sums(first), m_.ridge, w);
    }

    // ---- update ----

    // Once the samples of the channel are known; their intervals go to start and freq, if wanted.
    void absorb(int c, std::size_t k, int worker, std::uint32_t* start, std::uint32_t* freq) {
        Chunk& chunk = group_.chunks[k];
        const Lanes& lanes = chunk.lanes;
        const Ints x = group_.samples[k].all(), error = 64 * x - chunk.mean.all(), miss = chunk.miss.all();
        sample_[c].at(chunk.time, k).all() = x, error_[c].at(chunk.time, k).all() = error;
        const auto weight = [&](int h) { return truncated(kWeightUnit / to_doubles(half(24576 + miss * miss, h))); };
        const Ints w = most(join(weight(0), weight(1)), Ints{} + 1) & lanes.active.all();
        Ints& slow = chunk.slow_row[c].all();
        slow = slow + magnitude(error) - (slow >> 4);
        const Ints above = lanes.above_slow(slow_[c]);
        slow_[c].at(chunk.time, k).all() = above + slow - (above >> 3);
        const int place = chunk.time % kCell;
        chunk.cell[c].put_target(place, x - chunk.middle.all(), w);
        if (place == kCell - 1)
            for (int q = 0; q < predictors(c); ++q) end_cell(c, q, chunk);
        if (counting_) count(c, error, chunk);
        if (!blind_ && (start || learns()))
            with_components(m_.components, [&](auto j) { learn_from<decltype(j)::value>(c, k, worker, start, freq); });
    }

    void end_cell(int c, int q, Chunk& chunk) const {
        const StateLayout& layout = m_.state[c][q];
        Row* column = &chunk.column[layout.offset];
        remember_[c][q](layout, chunk.cell[c], &chunk.row[layout.offset], column, chunk.beyond + layout.offset);
        for (const Joint& joint : chunk.to)
            for (int e = 0; e < layout.size; ++e) joint.sums[layout.offset + e] = column[e].v[joint.lane + 1];
    }

    // Adds the lanes' samples to the statistics of their blocks.
    void count(int c, Ints error, Chunk& chunk) const {
        const Ints active = chunk.lanes.active.all();
        const Ints n = clamp((error * look_up(m_.tables.r1.data(), chunk.spread.all()) + 8192) >> 14, -72, 72) & active;
        const Ints moments[kMoments] = {n & 0xffff, magnitude(n), (magnitude(n) <= 7) & 24 & active};  // one of a pair
        Row* sums = &chunk.statistics[static_cast<std::size_t>(c) * kMoments * (kFeatures + 1)];
        const auto add = [&](int i, Ints term) {
            for (int m = 0; m < kMoments; ++m) {
                Ints& sum = sums[m * (kFeatures + 1) + i].all();
                sum = dot_pairs(sum, moments[m], term);
            }
        };
        add(0, Ints{} + 32);
        for (int i = 0; i < kFeatures; ++i) add(1 + i, chunk.features.feature(i));
    }

    void add_statistics(std::vector<std::int64_t>& sums) const {
        for (const Chunk& chunk : group_.chunks)
            for (std::size_t i = 0; i < chunk.statistics.size(); ++i)
                for (int l = 0; l < kChunk; ++l) sums[chunk.lanes.block[l] * kStatistics + i] += chunk.statistics[i].v[l];
    }

    // Intervals of the samples, and the lanes' gradients.
    template <int J>
    void learn_from(int c, std::size_t k, int worker, std::uint32_t* start, std::uint32_t* freq) {
        Chunk& chunk = group_.chunks[k];
        const bool learn = learns();
        const Ints sig = look_up(m_.tables.sig.data(), chunk.spread.all());
        Half first[2], size[2], y[2][3 * J];
        const Mix<J> mix = mix_of<J>(mix_, k);
        for (int h = 0; h < 2; ++h)
            weigh(m_.tables, exact(mix, h), half(sig, h), half(group_.samples[k].all(), h), learn, first[h], size[h], y[h]);
        if (start) {
            Row begin, length;
            begin.all() = join(first[0], first[1]), length.all() = join(size[0], size[1]);
            for (int l = 0; l < kChunk; ++l)
                if (chunk.lanes.active.v[l]) {
                    const std::int32_t i = group_.order[k * kChunk + l];
                    start[i] = static_cast<std::uint32_t>(begin.v[l]), freq[i] = static_cast<std::uint32_t>(length.v[l]);
                }
        }
        if (!learn) return;
        ShortRow gradients[3 * J];
        for (int i = 0; i < 3 * J; ++i)
            gradients[i].all() = __builtin_convertvector(join(y[0][i], y[1][i]) & chunk.lanes.active.all(), Shorts);
        outer_products(chunk.inputs, m_.hidden + used_features(c), gradients, 3 * J, reinterpret_cast<std::int32_t(*)[kMaxInputs]>(sums_[c][worker].data()));
    }

    // Begins the step of a channel's last layer, whose parts are then due; kNothing if it has none at this time.
    int begin_step(int c) {
        if (!learns()) return kNothing;
        layer_[c].begin_step();
        return c;
    }

    void learn_part(int c, int part) {
        const int rows = layer_[c].rows(), each = (rows + kParts - 1) / kParts;
        layer_[c].learn(part * each, std::min((part + 1) * each, rows), sums_[c]);
    }

    void learn() {
        if (!learns()) return;
        for (int c = 0; c < channels_; ++c) begin_step(c);
        share(static_cast<std::size_t>(channels_ * kParts),
              [&](std::size_t i, int) { learn_part(static_cast<int>(i) / kParts, static_cast<int>(i) % kParts); }, kNothing);
    }

    // The sums of lanes have 32 bits.
    void flush_sometimes() {
        if (!m_.latents || time_ % 65536 != 65535) return;
        add_statistics(statistics_);
        for (Chunk& chunk : group_.chunks) std::fill(chunk.statistics.begin(), chunk.statistics.end(), Row());
    }

    const Model& m_;
    const int channels_;
    Group group_;
    Sides sides_;
    Crew crew_;
    int time_ = 0;
    Recent sample_[kChannels], error_[kChannels], slow_[kChannels];
    Remember remember_[kChannels][kPredictors];
    Mixtures mix_;
    LastLayer layer_[kChannels];
    std::vector<Lines<std::int32_t>> sums_[kChannels];  // of each worker
    std::vector<std::int64_t> statistics_;
    std::vector<Scratch> scratch_;
    const std::uint8_t* const* given_ = nullptr;
    bool blind_ = false, decoding_ = false;  // blind: without the network
    bool counting_ = m_.latents;             // statistics
    alignas(64) std::atomic<std::size_t> popped_{0};  // in a line of its own: others wait for it
};

}  // namespace

Pass* BBCODEC_LOCAL_NAME(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side,
                         int threads) {
    return new GroupPass(model, shapes, channels, side, threads);
}

}  // namespace bbcodec::local

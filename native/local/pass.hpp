// SPDX-License-Identifier: Apache-2.0
// One pass over a group, as docs/local.md defines it. Compiled once for each instruction set (pass_*.cpp), from the same
// text: floats and doubles are never contracted, so that every target gives the same numbers.
//
// No include guard: each pass_*.cpp defines BBCODEC_LOCAL_TARGET (0 portable, 1 AVX2, 2 AVX-512, 3 with VNNI) and
// BBCODEC_LOCAL_NAME and includes this once, its standard headers before.
#include "vectors.hpp"

#include "around.hpp"
#include "features.hpp"
#include "fit.hpp"
#include "last_layer.hpp"
#include "mixture.hpp"
#include "network.hpp"

namespace bbcodec::local {
namespace {

constexpr int kWeightUnit = 1572864;  // for a largest weight of 64
constexpr int kCodingOrder[kChannels] = {1, 0, 2};
constexpr int kParts = 2;  // of a step of learning, to be shared out
constexpr int kNothing = -1;

// A lane whose column sums do not come from the lane before it in its chunk.
struct Joint {
    int lane = 0;
    std::int32_t* sums = nullptr;  // those that the other lane left
};

struct Chunk {
    Lanes lanes;
    std::vector<Joint> from, to;
    std::int32_t* beyond = nullptr;              // where the last lane leaves its column sums
    std::vector<Row> row, column;                // F and G
    std::vector<Row> weights;                    // floats
    Cell cell[kChannels];
    Row slow_row[kChannels];                     // h
    std::vector<Row> block_side, side;           // [H]: of the block; with what is said of the place
    std::vector<Row> statistics;                 // [kStatistics]
    // Of the channel at hand:
    Row middle, mean, miss, spread, sample;
    ShortRow inputs[kMaxHidden + kFeatures + 1];
};

class GroupPass final : public Pass {
  public:
    GroupPass(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side, int threads)
        : m_(model), channels_(channels), blocks_(shapes), crew_(threads) {
        std::size_t slots = 0;
        for (const Shape& b : blocks_) {
            first_slot_.push_back(slots);
            slots += std::min(b.height, (b.width + 2) / 3);
            end_ = std::max(end_, b.width + 3 * (b.height - 1));
        }
        first_slot_.push_back(slots);
        const std::size_t chunks = (slots + kChunk - 1) / kChunk;
        lanes_.assign(slots + kChunk, 0), order_.assign(chunks * kChunk, 0);
        const StateLayout& last = m_.state[channels - 1][kPredictors - 1];
        used_ = last.offset + last.size;
        weights_used_ = last.place + last.terms;
        chunks_.resize(chunks);
        place_lanes();
        join_lanes();
        for (int c = 0; c < channels; ++c) {
            sample_[c].resize(chunks, 128), error_[c].resize(chunks, 1280), slow_[c].resize(chunks, 0);
            layer_[c] = LastLayer(m_, c);
            sums_[c].assign(crew_.size(), std::vector<std::int32_t>(static_cast<std::size_t>(layer_[c].rows()) * m_.padded_outputs));
            for (int q = 0; q < kPredictors; ++q) remember_[c][q] = remember_for(m_.state[c][q]);
        }
        mix_.resize(m_.components, chunks);
        scratch_.resize(crew_.size());
        prepare_side(side);
        if (m_.latents) {
            for (Chunk& chunk : chunks_) chunk.statistics.assign(kStatistics, Row());
            statistics_.assign(blocks_.size() * kStatistics, 0);
        }
    }

    void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) override {
        given_ = blocks;
        walk([&](int c, std::size_t k, int worker) {
            predict(c, k, scratch_[worker]);
            read(c, k);
            absorb(c, k, worker, start + c * count_, freq + c * count_);
        }, [&] { start += channels_ * count_, freq += channels_ * count_; });
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
            const Chunk& chunk = chunks_[k];
            each_active(k, [&](int l, std::size_t pixel) {
                std::int8_t* f = features + (pixel * channels_ + c) * kFeatures;
                for (int i = 0; i < kFeatures; ++i) f[i] = static_cast<std::int8_t>(chunk.inputs[m_.hidden + i].v[l]);
                std::int32_t* fact = facts + (pixel * channels_ + c) * 3;
                fact[0] = chunk.mean.v[l], fact[1] = chunk.spread.v[l], fact[2] = chunk.sample.v[l];
            });
            absorb(c, k, worker, nullptr, nullptr);
        }, [] {});
    }

    std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                          std::size_t n_words) override {
        std::size_t taken = 0;
        decoding_ = true;
        int due = kNothing;  // the channel whose last layer has still to learn: beside the next work of another channel
        for (int t = 0; t < end_; ++t) {
            list_lanes(t);
            spread([&](std::size_t k, int worker) {
                if (enter(k)) predict(0, k, scratch_[worker]);
            }, due);
            list_chunks();
            for (int c = 0; c < channels_; ++c) {
                bool enough = true;
                due = c > 0 ? begin_step(c - 1) : kNothing;
                follow([&] { with_components([&](auto j) { enough = pop_all<decltype(j)::value>(head, words, n_words, taken); }); },
                       [&](std::size_t k, int worker) {
                           each_active(k, [&](int l, std::size_t pixel) {
                               blocks[chunks_[k].lanes.block[l]][pixel * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0)] =
                                   static_cast<std::uint8_t>(chunks_[k].sample.v[l]);
                           });
                           absorb(c, k, worker, nullptr, nullptr);
                           if (c + 1 < channels_) predict(c + 1, k, scratch_[worker]);
                       }, due);
                if (!enough) return -1;
            }
            due = begin_step(channels_ - 1);
            if (channels_ == 1 && due != kNothing) {
                for (int part = 0; part < kParts; ++part) learn_part(due, part);
                due = kNothing;
            }
            flush_sometimes();
        }
        return static_cast<std::ptrdiff_t>(taken);
    }

    std::vector<std::int64_t> statistics() const override {
        GroupPass& self = const_cast<GroupPass&>(*this);
        self.flush_statistics();
        return statistics_;
    }

  private:
    struct Scratch {
        Layers layers;
    };

    // Calls f with the number of components as a constant.
    template <typename F>
    void with_components(F f) const {
        switch (m_.components) {
            case 1: return f(std::integral_constant<int, 1>());
            case 2: return f(std::integral_constant<int, 2>());
            case 3: return f(std::integral_constant<int, 3>());
            case 4: return f(std::integral_constant<int, 4>());
            case 5: return f(std::integral_constant<int, 5>());
            case 6: return f(std::integral_constant<int, 6>());
            case 7: return f(std::integral_constant<int, 7>());
            default: return f(std::integral_constant<int, kMaxComponents>());
        }
    }

    // ---- lanes ----

    void place_lanes() {
        for (std::size_t k = 0; k < chunks_.size(); ++k) {
            Lanes& lanes = chunks_[k].lanes;
            lanes.width.all() = Ints{}, lanes.height.all() = Ints{};
            lanes.slots.all() = Ints{} + 1, lanes.period.all() = Ints{} + 3, lanes.x.all() = Ints{} - 1, lanes.y.all() = Ints{};
            for (int l = 0; l < kChunk; ++l) lanes.first_slot.v[l] = static_cast<int>(k * kChunk) + l;
        }
        for (std::size_t n = 0; n < blocks_.size(); ++n)
            for (std::size_t s = first_slot_[n]; s < first_slot_[n + 1]; ++s) {
                Lanes& lanes = chunks_[s / kChunk].lanes;
                const std::size_t l = s % kChunk;
                const int row = static_cast<int>(s - first_slot_[n]);
                lanes.block[l] = static_cast<std::int32_t>(n);
                lanes.height.v[l] = blocks_[n].height, lanes.width.v[l] = blocks_[n].width;
                lanes.first_slot.v[l] = static_cast<int>(first_slot_[n]);
                lanes.slots.v[l] = static_cast<int>(first_slot_[n + 1] - first_slot_[n]);
                lanes.period.v[l] = padded(blocks_[n].width, kCell);
                lanes.y.v[l] = row, lanes.x.v[l] = -3 * row - 1;
            }
    }

    void join_lanes() {
        std::size_t joints = chunks_.size();
        for (const Shape& b : blocks_) (void)b, ++joints;
        carried_.assign((joints + chunks_.size()) * used_, 0);
        std::int32_t* sums = carried_.data();
        for (Chunk& chunk : chunks_) {
            chunk.row.assign(used_, Row());
            chunk.column.resize(used_);
            for (std::size_t e = 0; e < used_; ++e) chunk.column[e].all() = Ints{} + m_.prior[e];
            chunk.weights.assign(weights_used_, Row());
            chunk.beyond = sums;
            sums += used_;
        }
        for (std::size_t n = 0; n < blocks_.size(); ++n)
            for (std::size_t s = first_slot_[n]; s < first_slot_[n + 1]; ++s) {
                const bool wraps = s == first_slot_[n];
                if (!wraps && s % kChunk) continue;
                const std::size_t before = wraps ? first_slot_[n + 1] - 1 : s - 1;
                Chunk& source = chunks_[before / kChunk];
                const int lane = static_cast<int>(before % kChunk);
                std::int32_t* at = source.beyond;
                if (lane != kChunk - 1) {
                    at = sums;
                    sums += used_;
                    source.to.push_back({lane, at});
                }
                chunks_[s / kChunk].from.push_back({static_cast<int>(s % kChunk), at});
            }
    }

    // The lanes of time t, in their order, and the place of each.
    void list_lanes(int t) {
        time_ = t;
        count_ = 0;
        for (std::size_t n = 0; n < blocks_.size(); ++n) {
            const Shape& b = blocks_[n];
            const int first = t < b.width ? 0 : (t - b.width) / 3 + 1, last = std::min(b.height - 1, t / 3);
            if (first > last) continue;
            const std::size_t slots = first_slot_[n + 1] - first_slot_[n];
            std::size_t slot = first_slot_[n] + first % slots;
            for (int y = first; y <= last; ++y, ++count_) {
                lanes_[count_] = static_cast<std::int32_t>(slot);
                order_[slot] = static_cast<std::int32_t>(count_);
                if (++slot == first_slot_[n + 1]) slot = first_slot_[n];
            }
        }
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
        if (crew_.size() == 1 || tasks < 2) {
            first();
            for (std::size_t i = 0; i < tasks + extra; ++i) any_task(0, static_cast<std::uint32_t>(i));
        } else {
            crew_.run(static_cast<std::uint32_t>(tasks + extra), any_task, first);
        }
    }

    // Calls job(chunk, worker) for all chunks.
    template <typename F>
    void spread(F job, int due = kNothing) {
        share(chunks_.size(), job, due);
    }

    // Calls first(), which pops lane after lane and counts them in popped_, and job(chunk, worker) for all chunks at work: of each after
    // its lanes.
    template <typename First, typename F>
    void follow(First first, F job, int due) {
        popped_.store(0, std::memory_order_relaxed);
        const auto ready = [&](std::size_t i, int worker) {
            const std::size_t k = in_order_[i];
            Crew::wait_until([&] { return popped_.load(std::memory_order_acquire) >= needed_[k]; });
            job(k, worker);
        };
        const auto pop = [&] {
            first();
            popped_.store(count_, std::memory_order_release);  // also if it gave up
        };
        share(in_order_.size(), ready, due, pop);
    }

    // Lists the chunks at work in the order in which their lanes end.
    void list_chunks() {
        in_order_.clear();
        needed_.assign(chunks_.size(), 0);
        for (std::size_t i = 0; i < count_; ++i) needed_[lanes_[i] / kChunk] = i + 1;
        for (std::size_t k = 0; k < chunks_.size(); ++k)
            if (chunks_[k].lanes.busy && !needed_[k]) in_order_.push_back(k);
        for (std::size_t i = 0; i < count_; ++i)
            if (needed_[lanes_[i] / kChunk] == i + 1) in_order_.push_back(lanes_[i] / kChunk);
    }

    // Calls job(channel, chunk, worker) for all times, chunks and channels in turn; then(), after each time.
    template <typename F, typename Then>
    void walk(F job, Then then) {
        for (int t = 0; t < end_; ++t) {
            list_lanes(t);
            spread([&](std::size_t k, int worker) {
                if (!enter(k)) return;
                for (int c = 0; c < channels_; ++c) job(c, k, worker);
            });
            learn();
            flush_sometimes();
            then();
        }
    }

    // Brings the chunk's lanes to this time; false if it has none.
    bool enter(std::size_t k) {
        Chunk& chunk = chunks_[k];
        chunk.lanes.advance(time_);
        if (!chunk.lanes.busy) return false;
        chunk.lanes.look(time_, k, chunks_.size());
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int c = 0; c < channels_; ++c) chunk.slow_row[c].all() &= ~begun;
        if (!chunk.side.empty()) tell_place(chunk);
        return true;
    }

    template <typename F>
    void each_active(std::size_t k, F f) {
        const Lanes& lanes = chunks_[k].lanes;
        for (int l = 0; l < kChunk; ++l)
            if (lanes.active.v[l]) f(l, static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l]);
    }

    void read(int c, std::size_t k) {
        Chunk& chunk = chunks_[k];
        each_active(k, [&](int l, std::size_t pixel) {
            chunk.sample.v[l] = given_[chunk.lanes.block[l]][pixel * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0)];
        });
    }

    // ---- side information ----

    void prepare_side(const std::int32_t* const* side) {
        const std::size_t hidden = m_.hidden;
        if (!m_.positions.empty()) {
            positions_.assign(3 * hidden * 16, 0);
            for (std::size_t n = 0; n < 3; ++n)
                for (std::size_t i = 0; i < kNear; ++i)
                    for (std::size_t h = 0; h < hidden; ++h) positions_[(n * hidden + h) * 16 + i] = m_.positions[(n * kNear + i) * hidden + h];
        }
        if (!side && positions_.empty()) return;
        for (Chunk& chunk : chunks_) {
            chunk.block_side.assign(hidden, Row()), chunk.side.assign(hidden, Row());
            if (side)
                for (int l = 0; l < kChunk; ++l)
                    for (std::size_t h = 0; h < hidden; ++h) chunk.block_side[h].v[l] = side[chunk.lanes.block[l]][h];
        }
    }

    void tell_place(Chunk& chunk) const {
        const std::size_t hidden = m_.hidden;
        const Lanes& lanes = chunk.lanes;
        if (positions_.empty()) {
            chunk.side = chunk.block_side;
            return;
        }
        const auto near = [](Ints v) { return clamp(v, 0, kNear - 1); };
        const Ints top = near(lanes.y.all()), left = near(lanes.x.all()), right = near(lanes.width.all() - 1 - lanes.x.all());
        const auto at = [&](std::size_t n, std::size_t h) { return &positions_[(n * hidden + h) * 16]; };
        for (std::size_t h = 0; h < hidden; ++h)
            chunk.side[h].all() = chunk.block_side[h].all() + pick(at(0, h), top) + pick(at(1, h), left) + pick(at(2, h), right);
    }

    // ---- prediction ----

    void predict(int c, std::size_t k, Scratch& scratch) {
        Chunk& chunk = chunks_[k];
        const Lanes& lanes = chunk.lanes;
        const int place = time_ % kCell;
        Surroundings around;
        Floats d[kRegressors];
        const auto regressor = [&](int i, Ints v) {
            chunk.cell[c].put(place, i, v);
            d[i] = __builtin_convertvector(v, Floats);
        };
        for (int i = 0; i < kOwn; ++i) around.own[i] = lanes.near(sample_[c], i);
        const Ints middle = (around.own[0] + around.own[1]) >> 1;
        for (int i = 0; i < kOwn; ++i) regressor(i, around.own[i] - middle);
        for (int n = 0; n < c; ++n) {
            Ints* other = around.other[n];
            other[0] = sample_[n].at(time_, k).all();
            for (int i = 1; i < kEarlier; ++i) other[i] = lanes.near(sample_[n], kEarlierAsOwn[i]);
            const Ints other_middle = (other[1] + other[2]) >> 1;
            for (int i = 0; i < kEarlier; ++i) regressor(kOwn + n * kEarlier + i, other[i] - other_middle);
            around.other_error[n][0] = error_[n].at(time_, k).all();
            for (int i = 1; i < 3; ++i) around.other_error[n][i] = lanes.near(error_[n], i - 1);
        }
        for (int q = 0; q < kPredictors; ++q) {
            const StateLayout& layout = m_.state[c][q];
            Floats* w = reinterpret_cast<Floats*>(&chunk.weights[layout.place]);
            if (place == 0) begin_cell(layout, chunk, w);
            Floats v = (predicted(layout, w, d) + __builtin_convertvector(middle, Floats)) * 64.0f + 0.5f;
            v = v >= 0.0f ? v : Floats{};
            v = v <= 16320.0f ? v : Floats{} + 16320.0f;
            around.guess[q] = __builtin_convertvector(v, Ints);
        }
        for (int i = 0; i < 6; ++i) around.error[i] = lanes.near(error_[c], i);
        around.slow = ((lanes.near_slow(slow_[c]) + 4 * chunk.slow_row[c].all()) >> 4) + 64;
        around.alone = lanes.alone;
        const Ints mean = (around.guess[0] + around.guess[1]) >> 1;
        Ints f[kFeatures];
        const Ints spread = features(m_.tables, c, around, mean, f);
        chunk.middle.all() = middle, chunk.mean.all() = mean, chunk.spread.all() = spread;
        chunk.miss.all() = (magnitude(around.error[0]) + magnitude(around.error[1]) + magnitude(around.error[2]) + magnitude(around.error[3])) >> 2;
        ShortRow* rows = chunk.inputs + m_.hidden;
        for (int i = 0; i < kFeatures; ++i) rows[i].all() = __builtin_convertvector(f[i], Shorts);
        if (blind_) return;
        Layers& layers = scratch.layers;
        for (int i = 0; i < kFeatures; i += 2) layers.inputs[(m_.hidden + i) / 2].all() = (f[i] & 0xffff) | f[i + 1] << 16;
        layers.begin(m_, c, chunk.side.empty() ? nullptr : chunk.side.data());
        for (int n = 0; n < m_.layers; ++n) layers.hidden_layer(m_, n);
        layers.end(m_, chunk.inputs);
        Ints out[3 * kMaxComponents];
        layers.outputs(m_, layer_[c].weights(), layer_[c].bias(), out);
        make_mixtures(m_.tables, m_.components, mean, spread, out, mix_, k);
        if (decoding_) with_components([&](auto j) { probe_all<decltype(j)::value>(k); });
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
        Chunk& chunk = chunks_[k];
        const Lanes& lanes = chunk.lanes;
        const Ints x = chunk.sample.all(), error = 64 * x - chunk.mean.all(), miss = chunk.miss.all();
        sample_[c].at(time_, k).all() = x, error_[c].at(time_, k).all() = error;
        const auto weight = [&](int h) { return truncated(kWeightUnit / to_doubles(half(24576 + miss * miss, h))); };
        const Ints w = most(join(weight(0), weight(1)), Ints{} + 1) & lanes.active.all();
        Ints& slow = chunk.slow_row[c].all();
        slow = slow + magnitude(error) - (slow >> 4);
        const Ints above = lanes.above_slow(slow_[c]);
        slow_[c].at(time_, k).all() = above + slow - (above >> 3);
        const int place = time_ % kCell;
        chunk.cell[c].put_target(place, x - chunk.middle.all(), w);
        if (place == kCell - 1)
            for (int q = 0; q < kPredictors; ++q) end_cell(c, q, chunk);
        if (m_.latents) count(c, error, chunk);
        if (!blind_ && (start || m_.rate != 0))
            with_components([&](auto j) { learn_from<decltype(j)::value>(c, k, worker, start, freq); });
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
        const Ints moments[kMoments] = {n, magnitude(n), (magnitude(n) <= 7) & 24 & active};
        Row* sums = &chunk.statistics[static_cast<std::size_t>(c) * kMoments * (kFeatures + 1)];
        const ShortRow* f = chunk.inputs + m_.hidden;
        for (const Ints& m : moments) {
            sums->all() += m * 32;
            for (int i = 0; i < kFeatures; ++i) sums[1 + i].all() += m * __builtin_convertvector(f[i].all(), Ints);
            sums += kFeatures + 1;
        }
    }

    void flush_statistics() {
        for (Chunk& chunk : chunks_)
            for (std::size_t i = 0; i < chunk.statistics.size(); ++i) {
                for (int l = 0; l < kChunk; ++l) statistics_[chunk.lanes.block[l] * kStatistics + i] += chunk.statistics[i].v[l];
                chunk.statistics[i] = Row();
            }
    }

    template <int J>
    Logistics<J> logistics(std::size_t k, int h) const {
        Half weight[J], mu[J], e[J];
        for (int j = 0; j < J; ++j) {
            const std::size_t at = j * mix_.stride + k;
            weight[j] = half(mix_.weight[at].all(), h), mu[j] = half(mix_.mu[at].all(), h), e[j] = half(mix_.e[at].all(), h);
        }
        Logistics<J> mix;
        spell_out(m_.tables, weight, mu, e, mix);
        return mix;
    }

    // Intervals of the samples, and the lanes' gradients.
    template <int J>
    void learn_from(int c, std::size_t k, int worker, std::uint32_t* start, std::uint32_t* freq) {
        Chunk& chunk = chunks_[k];
        const bool learn = m_.rate != 0;
        const Ints sig = look_up(m_.tables.sig.data(), chunk.spread.all());
        Half first[2], size[2], y[2][3 * J];
        for (int h = 0; h < 2; ++h)
            weigh(m_.tables, logistics<J>(k, h), half(sig, h), half(chunk.sample.all(), h), learn, first[h], size[h], y[h]);
        if (start) {
            Row begin, length;
            begin.all() = join(first[0], first[1]), length.all() = join(size[0], size[1]);
            for (int l = 0; l < kChunk; ++l)
                if (chunk.lanes.active.v[l]) {
                    const std::int32_t i = order_[k * kChunk + l];
                    start[i] = static_cast<std::uint32_t>(begin.v[l]), freq[i] = static_cast<std::uint32_t>(length.v[l]);
                }
        }
        if (!learn) return;
        ShortRow gradients[3 * J];
        for (int i = 0; i < 3 * J; ++i)
            gradients[i].all() = __builtin_convertvector(join(y[0][i], y[1][i]) & chunk.lanes.active.all(), Shorts);
        outer_products(chunk.inputs, m_.hidden + kFeatures, gradients, 3 * J, m_.padded_outputs, sums_[c][worker].data());
    }

    // Begins the step of a channel's last layer, whose parts are then due; kNothing if it has none at this time.
    int begin_step(int c) {
        if (m_.rate == 0 || blind_ || count_ == 0) return kNothing;
        layer_[c].begin_step();
        return c;
    }

    void learn_part(int c, int part) {
        const int rows = layer_[c].rows(), each = padded((rows + kParts - 1) / kParts, 2);
        layer_[c].learn(part * each, std::min((part + 1) * each, rows), sums_[c]);
    }

    void learn() {
        if (m_.rate == 0 || blind_ || count_ == 0) return;
        for (int c = 0; c < channels_; ++c) begin_step(c);
        share(static_cast<std::size_t>(channels_ * kParts),
              [&](std::size_t i, int) { learn_part(static_cast<int>(i) / kParts, static_cast<int>(i) % kParts); }, kNothing);
    }

    void flush_sometimes() {
        if (m_.latents && time_ % 65536 == 65535) flush_statistics();
    }

    // ---- decoding ----

    // What a search of the lanes' samples begins with.
    template <int J>
    void probe_all(std::size_t k) {
        Half middle[2], unit[2], known[2][kProbes];
        for (int h = 0; h < 2; ++h) {
            Half best = half(mix_.weight[k].all(), h), mu = half(mix_.mu[k].all(), h), e = half(mix_.e[k].all(), h);
            for (int j = 1; j < J; ++j) {
                const std::size_t at = j * mix_.stride + k;
                const Half weight = half(mix_.weight[at].all(), h), more = weight > best;
                mu = more ? half(mix_.mu[at].all(), h) : mu, e = more ? half(mix_.e[at].all(), h) : e;
                best = most(best, weight);
            }
            middle[h] = clamp((mu + 32) >> 6, Half{} + 1, Half{} + 255);
            unit[h] = look_up(m_.tables.unit.data(), e);
            const Logistics<J> mix = logistics<J>(k, h);
            for (int i = 0; i < kProbes; ++i) known[h][i] = cdf(m_.tables, mix, probe(middle[h], unit[h], i));
        }
        mix_.middle[k].all() = join(middle[0], middle[1]), mix_.unit[k].all() = join(unit[0], unit[1]);
        for (int i = 0; i < kProbes; ++i) mix_.known[i * mix_.stride + k].all() = join(known[0][i], known[1][i]);
    }

    // Samples of all lanes, half a chunk at a time; false if the words do not suffice.
    template <int J>
    bool pop_all(std::uint64_t* head, const std::uint32_t* words, std::size_t n_words, std::size_t& taken) {
        static_assert(kLanes % kHalf == 0);
        constexpr std::uint64_t kMask = (1u << kPrecision) - 1;
        for (std::size_t i = 0; i < count_; i += kHalf) {
            const std::int32_t* slots = &lanes_[i];  // those beyond the last are of an earlier time
            const Half slot = unaligned<Half>(slots);
            const bool together = i + kHalf <= count_ && !any(slot - slots[0] - low(kLaneNumbers));
            const auto of = [&](const std::vector<Row>& rows, int part) {
                const std::int32_t* from = rows[part * mix_.stride].v;
                return together ? unaligned<Half>(from + slots[0]) : look_up(from, slot);
            };
            Half weight[J], mu[J], e[J], known[kProbes];
            for (int j = 0; j < J; ++j) weight[j] = of(mix_.weight, j), mu[j] = of(mix_.mu, j), e[j] = of(mix_.e, j);
            for (int p = 0; p < kProbes; ++p) known[p] = of(mix_.known, p);
            Logistics<J> mix;
            spell_out(m_.tables, weight, mu, e, mix);
            std::uint64_t* heads = head + i % kLanes;
            std::int32_t low_bits[kHalf];
            for (int l = 0; l < kHalf; ++l) low_bits[l] = static_cast<std::int32_t>(heads[l] & kMask);
            const Half cf = unaligned<Half>(low_bits);
            Half below, above;
            const Half x = find(m_.tables, mix, cf, of(mix_.middle, 0), of(mix_.unit, 0), known, below, above);
            const Half size = above - below, rest = cf - below;
            const std::size_t n = std::min<std::size_t>(kHalf, count_ - i);
            for (std::size_t l = 0; l < n; ++l) {
                std::uint64_t h = static_cast<std::uint32_t>(size[l]) * (heads[l] >> kPrecision) + static_cast<std::uint32_t>(rest[l]);
                if (h < (std::uint64_t{1} << 31)) {
                    if (taken == n_words) return false;
                    h = h << 32 | words[taken++];
                }
                heads[l] = h;
                chunks_[slots[l] / kChunk].sample.v[slots[l] % kChunk] = x[l];
            }
            popped_.store(i + n, std::memory_order_release);
        }
        return true;
    }

    const Model& m_;
    const int channels_;
    const std::vector<Shape> blocks_;
    Crew crew_;
    int end_ = 0, time_ = 0;
    std::size_t used_ = 0, weights_used_ = 0;  // numbers of least-squares state and weights a lane
    std::size_t count_ = 0;                    // lanes of this time
    std::vector<std::size_t> first_slot_;      // of each block, and the end
    std::vector<std::int32_t> lanes_, order_;  // slots of this time's lanes; of each slot, its place among them
    std::vector<Chunk> chunks_;
    std::vector<std::size_t> in_order_, needed_;  // chunks at work; lanes that must be popped before each
    std::atomic<std::size_t> popped_{0};
    std::vector<std::int32_t> carried_;        // column sums from chunk to chunk and from the last slot of a block to its first
    Recent sample_[kChannels], error_[kChannels], slow_[kChannels];
    Remember remember_[kChannels][kPredictors];
    Mixtures mix_;
    std::vector<std::int32_t> positions_;      // [3][H][16], by distance
    LastLayer layer_[kChannels];
    std::vector<std::vector<std::int32_t>> sums_[kChannels];  // of each worker
    std::vector<std::int64_t> statistics_;
    std::vector<Scratch> scratch_;
    const std::uint8_t* const* given_ = nullptr;
    bool blind_ = false, decoding_ = false;    // blind: without the network
};

}  // namespace

Pass* BBCODEC_LOCAL_NAME(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side,
                         int threads) {
    return new GroupPass(model, shapes, channels, side, threads);
}

}  // namespace bbcodec::local

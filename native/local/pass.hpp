// SPDX-License-Identifier: Apache-2.0
// One pass over a group, as docs/local.md defines it. Compiled once for each instruction set (pass_*.cpp), from the same
// text: floats and doubles are never contracted, so that every target gives the same numbers.
//
// No include guard: each pass_*.cpp defines BBCODEC_LOCAL_TARGET (0 portable, 1 AVX2, 2 AVX-512) and BBCODEC_LOCAL_NAME
// and includes this once, its standard headers before.
#include "vectors.hpp"

#include "fit.hpp"
#include "last_layer.hpp"
#include "mixture.hpp"
#include "products.hpp"

namespace bbcodec::local {
namespace {

constexpr int kDx[kOwn] = {-1, 0, -1, 1, -2, 0, 1, 2, -2, -1, -3, 0, 2, -3, -2, 3};
constexpr int kDy[kOwn] = {0, -1, -1, -1, 0, -2, -2, -1, -1, -2, 0, -3, -2, -1, -2, -2};
// Which own position each of X1 .. X8 is (X0 is the pixel itself).
constexpr int kEarlierAsOwn[kEarlier] = {-1, 0, 1, 2, 3, 4, 5, 7, 6};
constexpr int kWeightUnit = 1572864;  // for a largest weight of 64
constexpr int kCodingOrder[kChannels] = {1, 0, 2};

// ---- the pass ---------------------------------------------------------------------------------------------------

struct Block {
    int height = 0, width = 0, slots = 0;
    std::size_t first_slot = 0;
    std::vector<std::uint8_t> sample[kChannels];
    std::vector<std::int16_t> error[kChannels];
    std::vector<std::int32_t> slow[kChannels];  // V by column
    std::vector<std::int32_t> column;           // G: [cells of a row][state of the channels in use]
    const std::int32_t* side = nullptr;         // [H], or none
    std::size_t pixels() const { return static_cast<std::size_t>(height) * width; }
};

struct Lane {
    int block = 0, y = 0, x = 0;
    std::size_t slot = 0, pixel = 0;
    int place = 0;                   // within its cell
    bool alone = false;              // no neighbour exists
    std::size_t near[kOwn];          // pixels of the own positions
    // Of the channel at hand:
    int own[kOwn], other[2][kEarlier];
    int middle = 0, other_middle[2] = {0, 0};
    int guess[kPredictors] = {0, 0}, mean = 0;
    Mixture mix;
    std::int16_t y_err[3 * kMaxComponents];
};

class GroupPass final : public Pass {
  public:
    GroupPass(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side, int threads)
        : m_(model), channels_(channels), crew_(threads) {
        std::size_t slots = 0;
        used_ = m_.state[channels - 1][kPredictors - 1].offset + m_.state[channels - 1][kPredictors - 1].size;
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            Block b;
            b.height = shapes[i].height, b.width = shapes[i].width;
            b.slots = std::min(b.height, (b.width + 2) / 3);
            b.first_slot = slots;
            slots += b.slots;
            for (int c = 0; c < channels; ++c) {
                b.sample[c].assign(b.pixels(), 0);
                b.error[c].assign(b.pixels(), 0);
                b.slow[c].assign(b.width, 0);
            }
            for (int cell = 0; cell < (b.width + kCell - 1) / kCell; ++cell)
                b.column.insert(b.column.end(), m_.prior.begin(), m_.prior.begin() + used_);
            b.side = side ? side[i] : nullptr;
            end_ = std::max(end_, b.width + 3 * (b.height - 1));
            blocks_.push_back(std::move(b));
        }
        row_state_.assign(slots * used_, 0);
        row_slow_.assign(slots * channels, 0);
        weights_.assign(slots * m_.weights_size, 0);
        cells_.resize(slots * channels * kPredictors);
        lanes_.resize(slots);
        inputs_ = m_.hidden + kFeatures;
        in_.assign((slots + 1) * inputs_, 0);  // one more, of zeros, to pair with an odd last lane
        for (int c = 0; c < channels; ++c) {
            layer_[c] = LastLayer(m_, c);
            for (int q = 0; q < kPredictors; ++q) remember_[c][q] = remember_for(m_.state[c][q]);
        }
        sums_.resize(crew_.size());
        for (auto& s : sums_) s.resize(static_cast<std::size_t>(inputs_ + 1) * m_.padded_outputs);
        scratch_.resize(crew_.size());
        sided_ = side || !m_.positions.empty();
        side_.assign(sided_ ? slots * m_.hidden : static_cast<std::size_t>(m_.hidden), 0);
        if (m_.latents) statistics_.assign(crew_.size(), std::vector<std::int64_t>(blocks_.size() * kStatistics));
    }

    void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) override {
        take(blocks);
        walk([&](int c) {
            for (std::size_t i = 0; i < count_; ++i) {
                const Lane& lane = lanes_[i];
                const int x = blocks_[lane.block].sample[c][lane.pixel];
                start[i] = static_cast<std::uint32_t>(cdf(m_, lane.mix, x));
                freq[i] = static_cast<std::uint32_t>(cdf(m_, lane.mix, x + 1)) - start[i];
            }
            start += count_, freq += count_;
            return true;
        });
    }

    void survey(const std::uint8_t* const* blocks) override {
        take(blocks);
        blind_ = true;
        walk([](int) { return true; });
    }

    std::vector<std::int64_t> statistics() const override {
        std::vector<std::int64_t> sum = statistics_.at(0);
        for (std::size_t n = 1; n < statistics_.size(); ++n)
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += statistics_[n][i];
        return sum;
    }

    void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) override {
        take(&block);
        blind_ = true;
        walk([&](int c) {
            for (std::size_t i = 0; i < count_; ++i) {
                const Lane& lane = lanes_[i];
                const std::int16_t* f = features_of(i);
                std::copy(f, f + kFeatures, features + (lane.pixel * channels_ + c) * kFeatures);
                std::int32_t* fact = facts + (lane.pixel * channels_ + c) * 3;
                fact[0] = lane.mean, fact[1] = lane.mix.spread, fact[2] = blocks_[0].sample[c][lane.pixel];
            }
            return true;
        });
    }

    std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                          std::size_t n_words) override {
        std::size_t taken = 0;
        const bool done = walk([&](int c) {
            for (std::size_t i = 0; i < count_; ++i) {
                const Lane& lane = lanes_[i];
                std::uint64_t& h = head[i % kLanes];
                const std::int64_t cf = static_cast<std::int64_t>(h & ((1u << kPrecision) - 1));
                std::int64_t low, high;
                const int x = find(m_, lane.mix, cf, low, high);
                h = static_cast<std::uint64_t>(high - low) * (h >> kPrecision) + static_cast<std::uint64_t>(cf - low);
                if (h < (std::uint64_t{1} << 31)) {
                    if (taken == n_words) return false;
                    h = h << 32 | words[taken++];
                }
                blocks_[lane.block].sample[c][lane.pixel] = static_cast<std::uint8_t>(x);
            }
            return true;
        });
        if (!done) return -1;
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            for (std::size_t p = 0; p < blocks_[i].pixels(); ++p)
                for (int c = 0; c < channels_; ++c)
                    blocks[i][p * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0)] = blocks_[i].sample[c][p];
        return static_cast<std::ptrdiff_t>(taken);
    }

  private:
    struct Scratch {
        Float16 a[kMaxTerms * (kMaxTerms + 3) / 2 + kPad], w[kMaxTerms];
        alignas(64) std::int32_t sums[kTogether][kSums];
        alignas(32) std::int32_t d[kSpan];
        // Of each lane, and one to spare:
        alignas(64) std::int32_t acc[kTogether + 1][kMaxHidden];
        alignas(64) std::int32_t s[kTogether][kMaxHidden];
        alignas(64) std::uint8_t act[kTogether][kMaxHidden];
        alignas(64) std::int16_t f[kTogether][kFeatures];
        alignas(64) std::int16_t pairs[kTogether * (kMaxHidden + kFeatures)];  // inputs of two lanes each, side by side
    };

    void take(const std::uint8_t* const* blocks) {
        for (std::size_t i = 0; i < blocks_.size(); ++i)
            for (std::size_t p = 0; p < blocks_[i].pixels(); ++p)
                for (int c = 0; c < channels_; ++c)
                    blocks_[i].sample[c][p] = blocks[i][p * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0)];
    }

    template <typename Code>
    bool walk(Code code) {
        for (int t = 0; t < end_; ++t) {
            gather(t);
            if (!count_) continue;
            for (int c = 0; c < channels_; ++c) {
                spread([&](int worker, std::size_t first, std::size_t n) { predict(c, first, n, scratch_[worker]); });
                if (!code(c)) return false;
                update(c);
            }
        }
        return true;
    }

    // Calls f(worker, first lane, lanes) for all lanes, up to 16 at a time.
    template <typename F>
    void spread(F f) {
        const auto part = [&](int worker, std::size_t first) { f(worker, first, std::min<std::size_t>(kTogether, count_ - first)); };
        if (crew_.size() == 1 || count_ < 2 * kTogether) {
            for (std::size_t first = 0; first < count_; first += kTogether) part(0, first);
            return;
        }
        const std::uint32_t parts = static_cast<std::uint32_t>((count_ + kTogether - 1) / kTogether);
        crew_.run(parts, [&](int worker, std::uint32_t task) { part(worker, std::size_t{task} * kTogether); });
    }

    void gather(int t) {
        count_ = 0;
        for (std::size_t n = 0; n < blocks_.size(); ++n) {
            Block& b = blocks_[n];
            const int first = t < b.width ? 0 : (t - b.width) / 3 + 1;
            const int last = std::min(b.height - 1, t / 3);
            for (int y = first; y <= last; ++y) {
                Lane& lane = lanes_[count_++];
                lane.block = static_cast<int>(n), lane.y = y, lane.x = t - 3 * y, lane.place = lane.x % kCell;
                lane.slot = b.first_slot + y % b.slots;
                lane.pixel = static_cast<std::size_t>(y) * b.width + lane.x;
                locate(b, lane);
                if (lane.x == 0) {
                    std::fill_n(&row_state_[lane.slot * used_], used_, 0);
                    std::fill_n(&row_slow_[lane.slot * channels_], channels_, 0);
                }
            }
        }
    }

    static void locate(const Block& b, Lane& lane) {
        lane.alone = lane.x == 0 && lane.y == 0;
        if (lane.y >= 3 && lane.x >= 3 && lane.x < b.width - 3) {
            for (int i = 0; i < kOwn; ++i) lane.near[i] = lane.pixel + static_cast<std::ptrdiff_t>(kDy[i]) * b.width + kDx[i];
            return;
        }
        for (int i = 0; i < kOwn; ++i) {
            int y = lane.y + kDy[i], x = lane.x + kDx[i];
            if (y < 0) {
                x = lane.y > 0 ? std::min(x, lane.x + 2) : lane.x - 1;
                y = 0;
            }
            if (x < 0) {
                x = 0;
                if (y == lane.y && lane.x == 0) --y;
            }
            if (x >= b.width) x = b.width - 1;
            lane.near[i] = lane.alone ? 0 : static_cast<std::size_t>(y) * b.width + x;
        }
    }

    // ---- prediction ----

    // Lanes first .. first + count - 1, at most 16.
    void predict(int c, std::size_t first, std::size_t count, Scratch& s) {
        for (std::size_t i = first; i < first + count; ++i) look_around(c, lanes_[i]);
        for (int q = 0; q < kPredictors; ++q) {
            const StateLayout& layout = m_.state[c][q];
            if (lanes_[first].place == 0) fit(layout, first, count, s);  // all lanes of a time begin a cell together
            for (std::size_t i = first; i < first + count; ++i) guess(c, q, lanes_[i], s.d);
        }
        for (std::size_t i = first; i < first + count; ++i) {
            Lane& lane = lanes_[i];
            const Block& b = blocks_[lane.block];
            lane.mean = (lane.guess[0] + lane.guess[1]) >> 1;
            features(c, lane, b, s.f[i - first]);
            std::copy(s.f[i - first], s.f[i - first] + kFeatures, features_of(i));
        }
        if (blind_) return;
        if (c == 0 && sided_)
            for (std::size_t i = first; i < first + count; ++i) place(i);
        network(c, first, count, s);
    }

    void look_around(int c, Lane& lane) const {
        const Block& b = blocks_[lane.block];
        for (int i = 0; i < kOwn; ++i) lane.own[i] = lane.alone ? 128 : b.sample[c][lane.near[i]];
        lane.middle = (lane.own[0] + lane.own[1]) >> 1;
        for (int k = 0; k < c; ++k) {
            int* other = lane.other[k];
            other[0] = b.sample[k][lane.pixel];
            for (int i = 1; i < kEarlier; ++i) other[i] = lane.alone ? 128 : b.sample[k][lane.near[kEarlierAsOwn[i]]];
            lane.other_middle[k] = (other[1] + other[2]) >> 1;
        }
    }

    // Solves for the weights of the lanes' cells.
    void fit(const StateLayout& layout, std::size_t first, std::size_t count, Scratch& s) {
        for (std::size_t l = 0; l < kTogether; ++l) {
            if (l >= count) {
                std::copy_n(s.sums[0], layout.size, s.sums[l]);
                continue;
            }
            const Lane& lane = lanes_[first + l];
            const std::int32_t *f = row_sums(lane, layout), *g = column_sums(lane, layout);
            for (int i = 0; i < layout.size; i += kPad) int8_at(s.sums[l] + i) = int8_at(g + i) + int8_at(f + i);
        }
        Float16* row = s.a;
        for (int j = 0; j < layout.terms; ++j) {
            const int length = layout.terms - j + 1;
            for (int i = 0; i < length; i += kPad) transpose(s.sums, layout.row[j] + i, row + i);  // what lies beyond is overwritten
            row[0] += m_.ridge;
            row += length;
        }
        solve(s.a, layout.terms, m_.ridge, s.w);
        for (std::size_t l = 0; l < count; ++l) {
            float* w = weights(lanes_[first + l], layout);
            for (int k = 0; k < layout.terms; ++k) w[k] = s.w[k][l];
        }
    }

    void guess(int c, int q, Lane& lane, std::int32_t* d) {
        const StateLayout& layout = m_.state[c][q];
        int n = 0;
        for (int i = 0; i < layout.own; ++i) d[n++] = lane.own[i] - lane.middle;
        for (int k = 0; k < c; ++k)
            for (int i = 0; i < layout.earlier; ++i) d[n++] = lane.other[k][i] - lane.other_middle[k];
        std::fill(d + n, d + layout.span, 0);
        cell(lane, c, q).put(lane.place, d, layout.span);
        float v = (predicted(weights(lane, layout), d, layout.span) + static_cast<float>(lane.middle)) * 64 + 0.5f;
        if (!(v >= 0)) v = 0;
        if (!(v <= 16320)) v = 16320;
        lane.guess[q] = static_cast<int>(v);
    }

    std::int32_t* row_sums(const Lane& lane, const StateLayout& layout) { return &row_state_[lane.slot * used_ + layout.offset]; }
    std::int32_t* column_sums(const Lane& lane, const StateLayout& layout) {
        return &blocks_[lane.block].column[static_cast<std::size_t>(lane.x / kCell) * used_ + layout.offset];
    }
    float* weights(const Lane& lane, const StateLayout& layout) { return &weights_[lane.slot * m_.weights_size + layout.place]; }
    Cell& cell(const Lane& lane, int c, int q) { return cells_[(lane.slot * channels_ + c) * kPredictors + q]; }

    void features(int c, Lane& lane, const Block& b, std::int16_t* f) const {
        const Tables& t = m_.tables;
        int e[6], around[kOwn];
        for (int i = 0; i < 6; ++i) e[i] = lane.alone ? 1280 : b.error[c][lane.near[i]];
        for (int i = 0; i < kOwn; ++i) around[i] = 64 * lane.own[i] - lane.mean;
        int miss = 64 + 2 * std::abs(e[0]) + 2 * std::abs(e[1]), texture = 64;
        for (int i = 2; i < 6; ++i) miss += std::abs(e[i]);
        for (int i = 0; i < 10; ++i) texture += std::abs(around[i]);
        const int ks = quarter_log(miss), kt = quarter_log(texture);
        const int r1 = t.r1[ks], r2 = t.r2[kt];
        lane.mix.spread = ks;
        for (int i = 0; i < kOwn; ++i) f[i] = normed(around[i], r2);
        for (int i = 0; i < 6; ++i) f[16 + i] = normed(e[i], r1);
        f[22] = normed(lane.guess[0] - lane.guess[1], r1);
        const int h = row_slow_[lane.slot * channels_ + c];
        const int z = ((b.slow[c][std::min(lane.x + 2, b.width - 1)] + 4 * h) >> 4) + 64;
        f[23] = clamp8(3 * (ks - 48)), f[24] = clamp8(3 * (kt - 48)), f[25] = clamp8(3 * (quarter_log(z) - 40));
        f[26] = clamp8((lane.mean >> 7) - 64);
        std::fill(f + 27, f + kFeatures, 0);
        for (int k = 0; k < c; ++k) {
            std::int16_t* g = f + 27 + 10 * k;
            const int error = b.error[k][lane.pixel], x = lane.other[k][0];
            g[0] = normed(error, r1);
            g[1] = lane.alone ? 0 : normed(b.error[k][lane.near[0]], r1);
            g[2] = lane.alone ? 0 : normed(b.error[k][lane.near[1]], r1);
            g[3] = clamp8(3 * (quarter_log(64 + 8 * std::abs(error)) - ks));
            for (int i = 0; i < 6; ++i)
                g[4 + i] = lane.alone ? 0 : normed(64 * (b.sample[k][lane.near[i]] - x), r2);
        }
    }

    std::int16_t* features_of(std::size_t lane) { return &in_[lane * inputs_ + m_.hidden]; }

    // Side information of a lane: what is said of its block, and of its place in it.
    void place(std::size_t i) {
        const Lane& lane = lanes_[i];
        const Block& b = blocks_[lane.block];
        const int hidden = m_.hidden;
        std::int32_t* side = &side_[i * hidden];
        if (b.side)
            std::copy(b.side, b.side + hidden, side);
        else
            std::fill(side, side + hidden, 0);
        if (m_.positions.empty()) return;
        const int near[3] = {lane.y, lane.x, b.width - 1 - lane.x};
        for (int n = 0; n < 3; ++n) {
            const std::int32_t* add = &m_.positions[(static_cast<std::size_t>(n) * kNear + std::min(near[n], kNear - 1)) * hidden];
            for (int h = 0; h < hidden; ++h) side[h] += add[h];
        }
    }

    // From s.f, the features of the lanes, to their mixtures. Lanes that are not there repeat the first.
    void network(int c, std::size_t first, std::size_t count, Scratch& s) {
        const int hidden = m_.hidden;
        const std::size_t at = static_cast<std::size_t>(c) * hidden;
        first_layer(c, count, s);
        for (std::size_t l = 0; l < count; ++l) {
            const std::int32_t *acc = s.acc[l], *scale = &m_.first_m[at], *bias = &m_.first_b[at];
            const std::int32_t* side = &side_[sided_ ? (first + l) * hidden : 0];
            for (int h = 0; h < hidden; ++h) advance(((acc[h] * scale[h] + bias[h] + 8192) >> 14) + side[h], s.s[l][h], s.act[l][h]);
        }
        for (int n = 0; n < m_.layers; ++n) {
            hidden_layer(n, count, s);
            const std::size_t from = static_cast<std::size_t>(n) * hidden;
            for (std::size_t l = 0; l < count; ++l) {
                const std::int32_t *acc = s.acc[l], *scale = &m_.hidden_m[from], *bias = &m_.hidden_b[from];
                for (int h = 0; h < hidden; ++h)
                    advance(s.s[l][h] + ((acc[h] * scale[h] + bias[h] + 2048) >> 12), s.s[l][h], s.act[l][h]);
            }
        }
        for (std::size_t l = 0; l < count; ++l) {
            std::int16_t* in = &in_[(first + l) * inputs_];
            for (int h = 0; h < hidden; ++h) in[h] = s.act[l][h];
        }
        last_layer(c, first, count, s);
    }

    // The stream's new value, and what the next layer sees of it.
    static void advance(std::int32_t v, std::int32_t& stream, std::uint8_t& activation) {
        stream = v < -32767 ? -32767 : v > 32767 ? 32767 : v;
        const std::int32_t a = (stream + 8) >> 4;
        activation = static_cast<std::uint8_t>(a < 0 ? 0 : a > 255 ? 255 : a);
    }

    // Calls f(lanes' sums, index of each of L lanes) for all lanes, L at a time; those beyond repeat the first and go to waste.
    template <int L, typename F>
    static void in_parts(std::size_t count, Scratch& s, F f) {
        for (std::size_t first = 0; first < count; first += L) {
            std::int32_t* acc[L];
            std::size_t from[L];
            for (std::size_t l = 0; l < L; ++l) {
                const bool there = first + l < count;
                from[l] = there ? first + l : first;
                acc[l] = s.acc[there ? first + l : static_cast<std::size_t>(kTogether)];
            }
            f(acc, from);
        }
    }

    void first_layer(int c, std::size_t count, Scratch& s) const {
        const int hidden = m_.hidden;
        const std::int16_t* w = &m_.first_w[static_cast<std::size_t>(c) * kFeatures * hidden];
#if BBCODEC_LOCAL_TARGET == 2
        if (vnni_) {
            for (std::size_t l = 0; l < count; ++l)
                for (int i = 0; i < kFeatures; ++i) s.act[l][i] = static_cast<std::uint8_t>(s.f[l][i] + 128);
            const std::int8_t* quads = &m_.first_w4[static_cast<std::size_t>(c) * kFeatures * hidden];
            const std::int32_t* excess = &m_.first_excess[static_cast<std::size_t>(c) * hidden];
            in_parts<4>(count, s, [&](std::int32_t* const* acc, const std::size_t* from) {
                const std::uint8_t* a[4] = {s.act[from[0]], s.act[from[1]], s.act[from[2]], s.act[from[3]]};
                dot_quads_vnni<4>(a, kFeatures, quads, hidden, acc);
            });
            for (std::size_t l = 0; l < count; ++l)
                for (int h = 0; h < hidden; ++h) s.acc[l][h] -= excess[h];
            return;
        }
#endif
        in_parts<kPairLanes>(count, s, [&](std::int32_t* const* acc, const std::size_t* from) {
            const std::int16_t* x[kPairLanes];
            for (int l = 0; l < kPairLanes; ++l) x[l] = s.f[from[l]];
            dot_pairs(x, kFeatures / 2, w, hidden, acc);
        });
    }

    // Signs times activations.
    void hidden_layer(int n, std::size_t count, Scratch& s) const {
        const int hidden = m_.hidden;
        const std::size_t at = static_cast<std::size_t>(n) * hidden * hidden;
        in_parts<kSignLanes>(count, s, [&](std::int32_t* const* acc, const std::size_t* from) {
            const std::uint8_t* a[kSignLanes];
            for (int l = 0; l < kSignLanes; ++l) a[l] = s.act[from[l]];
#if BBCODEC_LOCAL_TARGET == 2
            if (vnni_) return dot_quads_vnni<kSignLanes>(a, hidden, &m_.hidden_w4[at], hidden, acc);
#endif
            dot_signs<kSignLanes>(a, hidden, &m_.hidden_w[at], hidden, acc);
        });
    }

    void last_layer(int c, std::size_t first, std::size_t count, Scratch& s) {
        const LastLayer& layer = layer_[c];
        in_parts<kPairLanes>(count, s, [&](std::int32_t* const* acc, const std::size_t* from) {
            const std::int16_t* x[kPairLanes];
            for (int l = 0; l < kPairLanes; ++l) x[l] = &in_[(first + from[l]) * inputs_];
            dot_pairs(x, inputs_ / 2, layer.weights(), m_.padded_outputs, acc);
        });
        for (std::size_t l = 0; l < count; ++l) {
            std::int32_t* out = s.acc[l];
            for (int k = 0; k < m_.outputs; ++k) out[k] = (out[k] + layer.bias()[k] + 512) >> 10;
            Lane& lane = lanes_[first + l];
            make_mixture(m_, lane.mean, out, lane.mix);
        }
    }

    // ---- update ----

    void update(int c) {
        const bool learn = m_.rate != 0 && !blind_;
        if (learn)
            for (auto& s : sums_) std::fill(s.begin(), s.end(), 0);
        spread([&](int worker, std::size_t first, std::size_t n) {
            for (std::size_t i = first; i < first + n; ++i) {
                absorb(c, lanes_[i]);
                if (m_.latents) count(c, i, &statistics_[worker][lanes_[i].block * kStatistics]);
                if (learn) learn_from(c, lanes_[i]);
            }
            if (learn) add_gradient(first, n, sums_[worker].data(), scratch_[worker]);
        });
        if (!learn) return;
        for (std::size_t n = 1; n < sums_.size(); ++n)
            for (std::size_t i = 0; i < sums_[0].size(); ++i) sums_[0][i] += sums_[n][i];
        layer_[c].learn(sums_[0].data());
    }

    void absorb(int c, const Lane& lane) {
        Block& b = blocks_[lane.block];
        const int x = b.sample[c][lane.pixel];
        int u = 0;
        for (int i = 0; i < 4; ++i) u += lane.alone ? 1280 : std::abs(b.error[c][lane.near[i]]);
        u >>= 2;
        const int weight = std::max(1, kWeightUnit / (24576 + u * u));
        const int error = 64 * x - lane.mean;
        b.error[c][lane.pixel] = static_cast<std::int16_t>(error);
        std::int32_t& h = row_slow_[lane.slot * channels_ + c];
        std::int32_t& v = b.slow[c][lane.x];
        h = h + std::abs(error) - (h >> 4);
        v = v + h - (v >> 3);
        for (int q = 0; q < kPredictors; ++q) {
            const StateLayout& layout = m_.state[c][q];
            Cell& done = cell(lane, c, q);
            done.put_target(lane.place, layout.terms, x - lane.middle, weight);
            if (lane.place == kCell - 1 || lane.x == b.width - 1)
                remember_[c][q](layout, done, row_sums(lane, layout), column_sums(lane, layout));
        }
    }

    // Adds the lane's sample to the statistics of its block.
    void count(int c, std::size_t i, std::int64_t* sums) {
        const Lane& lane = lanes_[i];
        const int error = blocks_[lane.block].error[c][lane.pixel];
        const int n = clamp((error * m_.tables.r1[lane.mix.spread] + 8192) >> 14, -72, 72);
        const int moment[kMoments] = {n, std::abs(n), std::abs(n) <= 7 ? 24 : 0};
        const std::int16_t* f = features_of(i);
        sums += static_cast<std::size_t>(c) * kMoments * (kFeatures + 1);
        for (const int m : moment) {
            *sums++ += m * 32;
            for (int k = 0; k < kFeatures; ++k) sums[k] += m * f[k];
            sums += kFeatures;
        }
    }

    void learn_from(int c, Lane& lane) const {
        gradients(m_, lane.mix, blocks_[lane.block].sample[c][lane.pixel], lane.y_err);
    }

    // Adds the gradients of lanes first .. first + count - 1 to sums.
    void add_gradient(std::size_t first, std::size_t count, std::int32_t* sums, Scratch& s) const {
        const int width = m_.padded_outputs, pairs = static_cast<int>(count + 1) / 2;
        alignas(64) std::int16_t y[kTogether * padded(3 * kMaxComponents, 16)] = {};
        std::int32_t* bias = sums + static_cast<std::size_t>(inputs_) * width;
        for (int p = 0; p < pairs; ++p) {
            const std::size_t one = first + 2 * p, other = one + 1;
            const bool both = other < first + count;
            const std::int16_t *a = &in_[one * inputs_], *b = &in_[(both ? other : lanes_.size()) * inputs_];
            std::int16_t* x = s.pairs + static_cast<std::size_t>(p) * inputs_ * 2;
            for (int i = 0; i < inputs_; ++i) x[2 * i] = a[i], x[2 * i + 1] = b[i];
            std::int16_t* to = y + 2 * p * width;
            for (int k = 0; k < m_.outputs; ++k) {
                to[2 * k] = lanes_[one].y_err[k], to[2 * k + 1] = both ? lanes_[other].y_err[k] : 0;
                bias[k] += to[2 * k] + to[2 * k + 1];
            }
        }
        outer_pairs(s.pairs, inputs_, y, width, pairs, sums);
    }

    const Model& m_;
    const int channels_;
    const bool vnni_ = has_vnni();
    Crew crew_;
    int end_ = 0, inputs_ = 0;
    std::size_t used_ = 0;   // numbers of least-squares state a column or row
    std::size_t count_ = 0;  // lanes of this time
    std::vector<Block> blocks_;
    std::vector<Lane> lanes_;
    std::vector<std::int32_t> row_state_, row_slow_;
    std::vector<float> weights_;  // of the cells at hand, by slot
    std::vector<Cell> cells_;     // [slots][channels][predictors]
    Remember remember_[kChannels][kPredictors];
    std::vector<std::int16_t> in_;
    bool sided_ = false, blind_ = false;  // blind: without the network
    std::vector<std::int32_t> side_;      // [lanes][H], or [H] zeros
    std::vector<std::vector<std::int64_t>> statistics_;
    LastLayer layer_[kChannels];
    std::vector<std::vector<std::int32_t>> sums_;
    std::vector<Scratch> scratch_;
};

}  // namespace

Pass* BBCODEC_LOCAL_NAME(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side,
                         int threads) {
    return new GroupPass(model, shapes, channels, side, threads);
}

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// One pass over a group, as docs/local.md defines it. Compiled once for each instruction set (pass_*.cpp), from the same
// text: doubles are never contracted, so that every target gives the same numbers.
//
// No include guard: each pass_*.cpp defines BBCODEC_LOCAL_TARGET (0 portable, 1 AVX2, 2 AVX-512) and BBCODEC_LOCAL_NAME
// and includes this once, its standard headers before.

namespace bbcodec::local {
namespace {

constexpr int kDx[kOwn] = {-1, 0, -1, 1, -2, 0, 1, 2, -2, -1, -3, 0, 2, -3, -2, 3};
constexpr int kDy[kOwn] = {0, -1, -1, -1, 0, -2, -2, -1, -1, -2, 0, -3, -2, -1, -2, -2};
// Which own position each of X1 .. X8 is (X0 is the pixel itself).
constexpr int kEarlierAsOwn[kEarlier] = {-1, 0, 1, 2, 3, 4, 5, 7, 6};
constexpr int kTogether = 8;  // lanes whose least squares are solved at once
constexpr int kCodingOrder[kChannels] = {1, 0, 2};

// Eight numbers at once, as wide registers or several narrow ones.
typedef std::int32_t Int8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double Double8 __attribute__((vector_size(64), aligned(8), may_alias));
static_assert(kPad == 8 && kTogether == 8);

inline Int8& int8_at(std::int32_t* p) { return *reinterpret_cast<Int8*>(p); }
inline const Int8& int8_at(const std::int32_t* p) { return *reinterpret_cast<const Int8*>(p); }
inline Double8& double8_at(double* p) { return *reinterpret_cast<Double8*>(p); }
inline const Double8& double8_at(const double* p) { return *reinterpret_cast<const Double8*>(p); }

inline int quarter_log(int v) {
    const int b = 31 - __builtin_clz(static_cast<unsigned>(v));
    return 4 * b + ((v >> (b - 2)) & 3);
}
inline int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }
inline int normed(int v, int r) {
    return clamp(static_cast<int>((static_cast<std::int64_t>(v) * r + 8192) >> 14), -127, 127);
}
inline int clamp8(int v) { return clamp(v, -127, 127); }

// v - ((v l + 16) >> 5) without leaving 32 bits. `Shift` says that l = 2^(5 - Shift); 0 stands for any l.
template <int Shift>
inline Int8 decay(Int8 v, std::int32_t l) {
    if constexpr (Shift > 0) return v - ((v + (1 << Shift >> 1)) >> Shift);
    return v - ((v >> 5) * l + (((v & 31) * l + 16) >> 5));
}

// ---- products of vectors of small integers ----------------------------------------------------------------------

#if BBCODEC_LOCAL_TARGET == 2
using Wide = __m512i;
inline Wide load(const void* p) { return _mm512_loadu_si512(p); }
inline void store(void* p, Wide v) { _mm512_storeu_si512(p, v); }
inline Wide all32(std::int32_t v) { return _mm512_set1_epi32(v); }
inline Wide all16(std::int16_t v) { return _mm512_set1_epi16(v); }
inline Wide add32(Wide a, Wide b) { return _mm512_add_epi32(a, b); }
inline Wide add16(Wide a, Wide b) { return _mm512_add_epi16(a, b); }
inline Wide dot16(Wide a, Wide b) { return _mm512_madd_epi16(a, b); }
inline Wide dot8(Wide a, Wide b) { return _mm512_maddubs_epi16(a, b); }
#elif BBCODEC_LOCAL_TARGET == 1
using Wide = __m256i;
inline Wide load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, Wide v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline Wide all32(std::int32_t v) { return _mm256_set1_epi32(v); }
inline Wide all16(std::int16_t v) { return _mm256_set1_epi16(v); }
inline Wide add32(Wide a, Wide b) { return _mm256_add_epi32(a, b); }
inline Wide add16(Wide a, Wide b) { return _mm256_add_epi16(a, b); }
inline Wide dot16(Wide a, Wide b) { return _mm256_madd_epi16(a, b); }
inline Wide dot8(Wide a, Wide b) { return _mm256_maddubs_epi16(a, b); }
#endif

#if BBCODEC_LOCAL_TARGET > 0
constexpr int kWide = sizeof(Wide);

// Outputs o of dot_pairs, V vectors of them.
template <int V>
inline void dot_pairs_part(const std::int16_t* x, int pairs, const std::int16_t* w, int outputs, std::int32_t* acc) {
    Wide sum[V];
    for (Wide& s : sum) s = all32(0);
    for (int p = 0; p < pairs; ++p, w += 2 * outputs) {
        std::int32_t both;
        std::memcpy(&both, x + 2 * p, 4);
        const Wide v = all32(both);
        for (int i = 0; i < V; ++i) sum[i] = add32(sum[i], dot16(v, load(w + i * kWide / 2)));
    }
    for (int i = 0; i < V; ++i) store(acc + i * kWide / 4, sum[i]);
}
#endif

// acc[o] = sum over pairs of x[2p] w[p][o][0] + x[2p+1] w[p][o][1]; outputs is a multiple of 16.
inline void dot_pairs(const std::int16_t* x, int pairs, const std::int16_t* w, int outputs, std::int32_t* acc) {
#if BBCODEC_LOCAL_TARGET > 0
    int o = 0;
    constexpr int kEach = kWide / 4;
    for (; o + 8 * kEach <= outputs; o += 8 * kEach) dot_pairs_part<8>(x, pairs, w + 2 * o, outputs, acc + o);
    for (; o < outputs; o += 16) dot_pairs_part<16 / kEach>(x, pairs, w + 2 * o, outputs, acc + o);
#else
    std::fill(acc, acc + outputs, 0);
    for (int p = 0; p < pairs; ++p) {
        const std::int32_t a = x[2 * p], b = x[2 * p + 1];
        const std::int16_t* row = w + static_cast<std::size_t>(p) * outputs * 2;
        for (int o = 0; o < outputs; ++o) acc[o] += a * row[2 * o] + b * row[2 * o + 1];
    }
#endif
}

// acc[l][o] = sum over i of a[l][i] w[i / 2][o][i % 2] for L lanes, with signs w of +-1; n and outputs are multiples of 64.
#if BBCODEC_LOCAL_TARGET > 0
constexpr int kSignLanes = BBCODEC_LOCAL_TARGET == 2 ? 4 : 2;

template <int L>
inline void dot_signs(const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    constexpr int kVectors = 64 / (kWide / 2) > 2 ? 4 : 2, kEach = kWide / 2;  // outputs of a vector
    static_assert(128 * 255 < 1 << 15);
    for (int o = 0; o < outputs; o += kVectors * kEach) {
        for (int l = 0; l < L; ++l) std::fill_n(acc[l] + o, kVectors * kEach, 0);
        for (int first = 0; first < n; first += 128) {
            const std::int8_t* row = w + (static_cast<std::size_t>(first / 2) * outputs + o) * 2;
            Wide sum[L][kVectors];
            for (auto& lane : sum)
                for (Wide& v : lane) v = all16(0);
            const int end = std::min(n, first + 128);
            for (int i = first; i < end; i += 2, row += 2 * outputs) {
                Wide signs[kVectors];
                for (int j = 0; j < kVectors; ++j) signs[j] = load(row + j * kWide);
                for (int l = 0; l < L; ++l) {
                    std::int16_t both;
                    std::memcpy(&both, a[l] + i, 2);
                    const Wide v = all16(both);
                    for (int j = 0; j < kVectors; ++j) sum[l][j] = add16(sum[l][j], dot8(v, signs[j]));
                }
            }
            for (int l = 0; l < L; ++l) {
                alignas(64) std::int16_t part[kVectors * kEach];
                for (int j = 0; j < kVectors; ++j) store(part + j * kEach, sum[l][j]);
                for (int k = 0; k < kVectors * kEach; ++k) acc[l][o + k] += part[k];
            }
        }
    }
}
#else
constexpr int kSignLanes = 1;

template <int L>
inline void dot_signs(const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    static_assert(L == 1);
    std::fill(*acc, *acc + outputs, 0);
    for (int i = 0; i < n; i += 2) {
        const std::int8_t* row = w + static_cast<std::size_t>(i / 2) * outputs * 2;
        const std::int32_t x = (*a)[i], y = (*a)[i + 1];
        for (int o = 0; o < outputs; ++o) (*acc)[o] += x * row[2 * o] + y * row[2 * o + 1];
    }
}
#endif

#if BBCODEC_LOCAL_TARGET == 2
// As dot_signs, with weights w[i / 4][o][i % 4].
template <int L>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))) inline void dot_signs_vnni(
    const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    for (int o = 0; o < outputs; o += 64) {
        __m512i sum[L][4];
        for (auto& lane : sum)
            for (__m512i& v : lane) v = _mm512_setzero_si512();
        const std::int8_t* row = w + static_cast<std::size_t>(o) * 4;
        for (int i = 0; i < n; i += 4, row += 4 * outputs) {
            __m512i signs[4];
            for (int j = 0; j < 4; ++j) signs[j] = _mm512_loadu_si512(row + 64 * j);
            for (int l = 0; l < L; ++l) {
                std::int32_t four;
                std::memcpy(&four, a[l] + i, 4);
                const __m512i v = _mm512_set1_epi32(four);
                for (int j = 0; j < 4; ++j) sum[l][j] = _mm512_dpbusd_epi32(sum[l][j], v, signs[j]);
            }
        }
        for (int l = 0; l < L; ++l)
            for (int j = 0; j < 4; ++j) _mm512_storeu_si512(acc[l] + o + 16 * j, sum[l][j]);
    }
}
#endif

// sums[i][k] += sum over `pairs` of x[p][i][0] y[p][k][0] + x[p][i][1] y[p][k][1]; width is a multiple of 16.
inline void outer_pairs(const std::int16_t* x, int n, const std::int16_t* y, int width, int pairs, std::int32_t* sums) {
    for (int i = 0; i < n; ++i) {
        std::int32_t* row = sums + static_cast<std::size_t>(i) * width;
#if BBCODEC_LOCAL_TARGET > 0
        for (int k = 0; k < width; k += kWide / 4) {
            Wide sum = load(row + k);
            for (int p = 0; p < pairs; ++p) {
                std::int32_t both;
                std::memcpy(&both, x + (static_cast<std::size_t>(p) * n + i) * 2, 4);
                sum = add32(sum, dot16(all32(both), load(y + (static_cast<std::size_t>(p) * width + k) * 2)));
            }
            store(row + k, sum);
        }
#else
        for (int p = 0; p < pairs; ++p) {
            const std::int16_t* xp = x + (static_cast<std::size_t>(p) * n + i) * 2;
            const std::int16_t* yp = y + static_cast<std::size_t>(p) * width * 2;
            for (int k = 0; k < width; ++k) row[k] += xp[0] * yp[2 * k] + xp[1] * yp[2 * k + 1];
        }
#endif
    }
}

// ---- the pass ---------------------------------------------------------------------------------------------------

struct Block {
    int height = 0, width = 0, slots = 0;
    std::size_t first_slot = 0;
    std::vector<std::uint8_t> sample[kChannels];
    std::vector<std::int16_t> error[kChannels];
    std::vector<std::int32_t> slow[kChannels];  // V by column
    std::vector<std::int32_t> column;           // G: [width][state_size of the channels in use]
    const std::int32_t* side = nullptr;
    std::size_t pixels() const { return static_cast<std::size_t>(height) * width; }
};

struct Lane {
    int block = 0, y = 0, x = 0;
    std::size_t slot = 0, pixel = 0;
    bool alone = false;              // no neighbour exists
    std::size_t near[kOwn];          // pixels of the own positions
    // Of the channel at hand:
    int own[kOwn], other[2][kEarlier];
    int middle = 0, other_middle[2] = {0, 0};
    int guess[kPredictors] = {0, 0}, mean = 0, spread = 0, slow = 0;
    std::int32_t weight[kMaxComponents], mu[kMaxComponents], e[kMaxComponents];
    std::int16_t y_err[3 * kMaxComponents];
};

class GroupPass final : public Pass {
  public:
    GroupPass(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side, int threads)
        : m_(model), channels_(channels), crew_(threads) {
        std::size_t slots = 0, lanes = 0;
        used_ = m_.state[channels - 1][kPredictors - 1].offset + m_.state[channels - 1][kPredictors - 1].size;
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            Block b;
            b.height = shapes[i].height, b.width = shapes[i].width;
            // A row's state outlives the row until the row below, three pixels behind, is done with it.
            b.slots = std::min(b.height, (b.width + 2) / 3 + 2);
            b.first_slot = slots;
            slots += b.slots, lanes += std::min(b.height, (b.width + 2) / 3);
            for (int c = 0; c < channels; ++c) {
                b.sample[c].assign(b.pixels(), 0);
                b.error[c].assign(b.pixels(), 0);
                b.slow[c].assign(b.width, 0);
            }
            b.column.assign(static_cast<std::size_t>(b.width) * used_, 0);
            b.side = side ? side[i] : nullptr;
            end_ = std::max(end_, b.width + 3 * (b.height - 1));
            blocks_.push_back(std::move(b));
        }
        row_state_.assign(slots * used_, 0);
        row_slow_.assign(slots * channels, 0);
        lanes_.resize(lanes);
        inputs_ = m_.hidden + kFeatures;
        in_.assign((lanes + 1) * inputs_, 0);  // one more, of zeros, to pair with an odd last lane
        for (int c = 0; c < channels; ++c) {
            const std::size_t n = static_cast<std::size_t>(inputs_) * m_.padded_outputs;
            Layer& layer = layer_[c];
            layer.w.assign(m_.out_w.begin() + c * n, m_.out_w.begin() + (c + 1) * n);
            layer.b.assign(m_.out_b.begin() + c * m_.padded_outputs, m_.out_b.begin() + (c + 1) * m_.padded_outputs);
            layer.wm.assign(n, 0), layer.wv.assign(n, 0);
            layer.bm.assign(m_.padded_outputs, 0), layer.bv.assign(m_.padded_outputs, 0);
            layer.wq.assign(n, 0), layer.bq.assign(m_.padded_outputs, 0);
            round_layer(layer, 0, inputs_);
        }
        sums_.resize(crew_.size());
        for (auto& s : sums_) s.resize(static_cast<std::size_t>(inputs_ + 1) * m_.padded_outputs);
        scratch_.resize(crew_.size());
    }

    void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) override {
        take(blocks);
        walk([&](int c) {
            for (std::size_t i = 0; i < count_; ++i) {
                const Lane& lane = lanes_[i];
                const int x = blocks_[lane.block].sample[c][lane.pixel];
                start[i] = static_cast<std::uint32_t>(cdf(lane, x));
                freq[i] = static_cast<std::uint32_t>(cdf(lane, x + 1)) - start[i];
            }
            start += count_, freq += count_;
            return true;
        });
    }

    void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) override {
        take(&block);
        walk([&](int c) {
            for (std::size_t i = 0; i < count_; ++i) {
                const Lane& lane = lanes_[i];
                const std::int16_t* f = &in_[i * inputs_ + m_.hidden];
                std::copy(f, f + kFeatures, features + (lane.pixel * channels_ + c) * kFeatures);
                std::int32_t* fact = facts + (lane.pixel * channels_ + c) * 3;
                fact[0] = lane.mean, fact[1] = lane.spread, fact[2] = blocks_[0].sample[c][lane.pixel];
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
                const int x = find(lane, cf, low, high);
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
    static constexpr int kPrecision = 20;

    struct Layer {
        std::vector<double> w, wm, wv, b, bm, bv;
        std::vector<std::int16_t> wq;  // [inputs / 2][padded_outputs][2]
        std::vector<std::int32_t> bq;
        double b1 = 1, b2 = 1;
    };
    static constexpr int kSums = (kMaxTerms + kPad) * kMaxTerms;
    struct Scratch {
        alignas(64) Double8 a[kMaxTerms * (kMaxTerms + 1) / 2 + 2 * kMaxTerms + kPad];  // rows from the diagonal on
        alignas(64) std::int32_t sums[kTogether][kSums];
        std::int32_t terms[kTogether][kMaxTerms + 2 * kPad];
        alignas(64) std::int32_t d[kMaxTerms + 2 * kPad], dw[kMaxTerms];
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

    // Calls f(worker, first lane, lanes) for all lanes, up to 8 at a time.
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
                lane.block = static_cast<int>(n), lane.y = y, lane.x = t - 3 * y;
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

    // Lanes first .. first + count - 1, at most 8.
    void predict(int c, std::size_t first, std::size_t count, Scratch& s) {
        for (std::size_t i = first; i < first + count; ++i) look_around(c, lanes_[i]);
        for (int q = 0; q < kPredictors; ++q) least_squares(c, q, first, count, s);
        for (std::size_t i = first; i < first + count; ++i) {
            Lane& lane = lanes_[i];
            const Block& b = blocks_[lane.block];
            lane.mean = (lane.guess[0] + lane.guess[1]) >> 1;
            features(c, lane, b, s.f[i - first]);
        }
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

    static void regressors(int c, const StateLayout& layout, const Lane& lane, std::int32_t* d) {
        int n = 0;
        for (int i = 0; i < layout.own; ++i) d[n++] = lane.own[i] - lane.middle;
        for (int k = 0; k < c; ++k)
            for (int i = 0; i < layout.earlier; ++i) d[n++] = lane.other[k][i] - lane.other_middle[k];
    }

    std::int32_t* column(const Lane& lane, const StateLayout& layout) {
        return &blocks_[lane.block].column[static_cast<std::size_t>(lane.x) * used_ + layout.offset];
    }

    // The column takes over what the row above knows (which is three pixels ahead); sums = G + F + prior.
    template <int Shift>
    void recall(const StateLayout& layout, const Lane& lane, const Lane& next, std::int32_t* sums) {
        const Block& b = blocks_[lane.block];
        const std::int32_t* prior = &m_.prior[layout.offset];
        const std::int32_t* f = &row_state_[lane.slot * used_ + layout.offset];
        const std::int32_t* above = &row_state_[(b.first_slot + (lane.y + b.slots - 1) % b.slots) * used_ + layout.offset];
        std::int32_t* g = column(lane, layout);
        const std::int32_t* soon = column(next, layout);
        for (int i = 0; i < layout.size; i += kPad) {
            if (i % 16 == 0) __builtin_prefetch(soon + i, 1);
            Int8 entry = int8_at(g + i);
            if (lane.y > 0) int8_at(g + i) = entry = decay<Shift>(entry + int8_at(above + i), layout.forget);
            int8_at(sums + i) = entry + int8_at(f + i) + int8_at(prior + i);
        }
    }

    // to[i] = numbers at + i of the 8 lanes, as doubles.
    static void transpose(const std::int32_t (&lanes)[kTogether][kSums], int at, Double8* to) {
        Int8 a[8], b[8];
        for (int l = 0; l < 8; ++l) a[l] = int8_at(lanes[l] + at);
        for (int l = 0; l < 8; l += 2) {
            b[l] = __builtin_shuffle(a[l], a[l + 1], Int8{0, 8, 1, 9, 4, 12, 5, 13});
            b[l + 1] = __builtin_shuffle(a[l], a[l + 1], Int8{2, 10, 3, 11, 6, 14, 7, 15});
        }
        for (int l = 0; l < 8; l += 4)
            for (int i = 0; i < 2; ++i) {
                a[l + 2 * i] = __builtin_shuffle(b[l + i], b[l + 2 + i], Int8{0, 1, 8, 9, 4, 5, 12, 13});
                a[l + 2 * i + 1] = __builtin_shuffle(b[l + i], b[l + 2 + i], Int8{2, 3, 10, 11, 6, 7, 14, 15});
            }
        for (int i = 0; i < 4; ++i) {
            to[i] = __builtin_convertvector(__builtin_shuffle(a[i], a[i + 4], Int8{0, 1, 2, 3, 8, 9, 10, 11}), Double8);
            to[i + 4] = __builtin_convertvector(__builtin_shuffle(a[i], a[i + 4], Int8{4, 5, 6, 7, 12, 13, 14, 15}), Double8);
        }
    }

    // One element of a vector for each lane; lanes that are not there repeat the first.
    // The row above must still be as its pixel x + 2 left it, or its last one.
    void least_squares(int c, int q, std::size_t first, std::size_t count, Scratch& s) {
        const StateLayout& layout = m_.state[c][q];
        const int n = layout.terms, size = layout.size;
        for (int l = 0; l < kTogether; ++l) {
            const Lane& lane = lanes_[first + (static_cast<std::size_t>(l) < count ? l : 0)];
            if (static_cast<std::size_t>(l) < count) {
                const std::size_t next = std::min(first + l + 1, count_ - 1);
                switch (layout.forget) {
                    case 1: recall<5>(layout, lane, lanes_[next], s.sums[l]); break;
                    case 2: recall<4>(layout, lane, lanes_[next], s.sums[l]); break;
                    case 4: recall<3>(layout, lane, lanes_[next], s.sums[l]); break;
                    default: recall<0>(layout, lane, lanes_[next], s.sums[l]); break;
                }
            } else {
                std::copy_n(s.sums[0], size, s.sums[l]);
            }
            regressors(c, layout, lane, s.terms[l]);
        }
        Double8* row = s.a;
        for (int j = 0; j < n; ++j) {
            const int from = layout.row[j], length = n - j + 1;
            for (int i = 0; i < length; i += kPad) transpose(s.sums, from + i, row + i);  // what lies beyond is overwritten
            row[0] += m_.ridge;
            for (int l = 0; l < kTogether; ++l) row[length][l] = s.terms[l][j];
            row += length + 1;
        }
        const Double8 sum = eliminate(s.a, n);
        for (std::size_t l = 0; l < count; ++l) {
            Lane& lane = lanes_[first + l];
            double v = (sum[l] + lane.middle) * 64 + 0.5;
            if (!(v >= 0)) v = 0;
            if (!(v <= 16320)) v = 16320;
            lane.guess[q] = static_cast<int>(v);
        }
    }

    Double8 inverse_pivot(Double8 pivot) const {
        pivot = pivot < m_.ridge ? Double8{} + m_.ridge : pivot;
        return 1.0 / pivot;
    }

    // Eliminates the rows of a and returns the prediction. Two rows at a time: each number that they change is read and
    // written once, in the order that the rows have.
    Double8 eliminate(Double8* a, int n) const {
        Double8 sum = {};
        Double8* top = a;
        for (int k = 0; k < n; k += 2) {
            const int length = n - k + 2;
            Double8* second = top + length;
            const Double8 r = inverse_pivot(top[0]);
            sum = sum + (top[n - k] * r) * top[n - k + 1];
            if (k + 1 == n) break;
            const Double8 factor = top[1] * r;
            for (int j = 1; j < length; ++j) second[j - 1] = second[j - 1] - factor * top[j];
            const Double8 r2 = inverse_pivot(second[0]);
            sum = sum + (second[n - k - 1] * r2) * second[n - k];
            Double8* to = second + length - 1;
            for (int i = 2; i < n - k; ++i) {
                const Double8 f = top[i] * r, f2 = second[i - 1] * r2;
                for (int j = i; j < length; ++j, ++to) *to = (*to - f * top[j]) - f2 * second[j - 1];
            }
            top = second + length - 1;
        }
        return sum;
    }

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
        lane.spread = ks;
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

    void network(int c, std::size_t first, std::size_t count, Scratch& s) {
        const int hidden = m_.hidden, outputs = m_.padded_outputs;
        const std::int16_t* first_w = &m_.first_w[static_cast<std::size_t>(c) * kFeatures * hidden];
        const std::int32_t* scale = &m_.first_m[static_cast<std::size_t>(c) * hidden];
        const std::int32_t* bias = &m_.first_b[static_cast<std::size_t>(c) * hidden];
        for (std::size_t l = 0; l < count; ++l) {
            const Lane& lane = lanes_[first + l];
            const std::int32_t* side = blocks_[lane.block].side;
            std::int32_t *acc = s.acc[l], *stream = s.s[l];
            dot_pairs(s.f[l], kFeatures / 2, first_w, hidden, acc);
            for (int h = 0; h < hidden; ++h) stream[h] = (acc[h] * scale[h] + bias[h] + 8192) >> 14;
            if (side)
                for (int h = 0; h < hidden; ++h) stream[h] += side[lane.pixel * hidden + h];
            for (int h = 0; h < hidden; ++h) stream[h] = clamp(stream[h], -32767, 32767);
        }
        for (int n = 0; n < m_.layers; ++n) {
            for (std::size_t l = 0; l < count; ++l)
                for (int h = 0; h < hidden; ++h) s.act[l][h] = static_cast<std::uint8_t>(clamp((s.s[l][h] + 8) >> 4, 0, 255));
            hidden_layer(n, count, s);
            scale = &m_.hidden_m[static_cast<std::size_t>(n) * hidden];
            bias = &m_.hidden_b[static_cast<std::size_t>(n) * hidden];
            for (std::size_t l = 0; l < count; ++l) {
                std::int32_t *acc = s.acc[l], *stream = s.s[l];
                for (int h = 0; h < hidden; ++h)
                    stream[h] = clamp(stream[h] + ((acc[h] * scale[h] + bias[h] + 2048) >> 12), -32767, 32767);
            }
        }
        const Layer& layer = layer_[c];
        for (std::size_t l = 0; l < count; ++l) {
            std::int16_t* in = &in_[(first + l) * inputs_];
            for (int h = 0; h < hidden; ++h) in[h] = static_cast<std::int16_t>(clamp((s.s[l][h] + 8) >> 4, 0, 255));
            std::copy(s.f[l], s.f[l] + kFeatures, in + hidden);
            std::int32_t* acc = s.acc[l];
            dot_pairs(in, inputs_ / 2, layer.wq.data(), outputs, acc);
            for (int k = 0; k < m_.outputs; ++k) acc[k] = (acc[k] + layer.bq[k] + 512) >> 10;
            mixture(lanes_[first + l], acc);
        }
    }

    // acc = signs times activations, some lanes at a time, so that weights are read once for them.
    void hidden_layer(int n, std::size_t count, Scratch& s) const {
        const int hidden = m_.hidden;
        const std::size_t at = static_cast<std::size_t>(n) * hidden * hidden;
        for (std::size_t first = 0; first < count; first += kSignLanes) {
            const std::uint8_t* a[kSignLanes];
            std::int32_t* acc[kSignLanes];
            for (std::size_t l = 0; l < kSignLanes; ++l) {
                const bool there = first + l < count;
                a[l] = s.act[there ? first + l : first];
                acc[l] = s.acc[there ? first + l : static_cast<std::size_t>(kTogether)];
            }
#if BBCODEC_LOCAL_TARGET == 2
            if (vnni_) {
                dot_signs_vnni<kSignLanes>(a, hidden, &m_.hidden_w4[at], hidden, acc);
                continue;
            }
#endif
            dot_signs<kSignLanes>(a, hidden, &m_.hidden_w[at], hidden, acc);
        }
    }

    void mixture(Lane& lane, const std::int32_t* o) const {
        const Tables& t = m_.tables;
        const int n = m_.components;
        int top = o[2 * n];
        for (int j = 1; j < n; ++j) top = std::max(top, o[2 * n + j]);
        std::int64_t total = 0, rest = 65536;
        std::int64_t x[kMaxComponents];
        for (int j = 0; j < n; ++j) {
            lane.mu[j] = lane.mean + ((clamp(o[j], -4096, 4096) * t.sig[lane.spread] + 1024) >> 11);
            lane.e[j] = clamp((t.le[lane.spread] + ((clamp(o[n + j], -8192, 8192) * 185 + 128) >> 8) + 8) >> 4, 0, 79);
            x[j] = t.exp[std::min<std::int64_t>(static_cast<std::int64_t>(top) - o[2 * n + j], 2816)];
            total += x[j];
        }
        for (int j = 1; j < n; ++j) {
            lane.weight[j] = static_cast<std::int32_t>(x[j] * 65536 / total);
            rest -= lane.weight[j];
        }
        lane.weight[0] = static_cast<std::int32_t>(rest);
    }

    // ---- mixture of logistics ----

    static constexpr int kMuLimit = 1 << 17;

    // A and C of one component at the lower boundary of symbol k (tables.py).
    void boundary(const Lane& lane, int j, int k, std::int64_t& a, std::int64_t& mass) const {
        const std::int64_t mu = clamp(lane.mu[j], -kMuLimit, kMuLimit);
        a = ((64 * k - 32 - mu) * m_.tables.inverse[lane.e[j]]) >> 10;
        a = std::min<std::int64_t>(std::max<std::int64_t>(a, -(1 << 19)), 1 << 19);
        const std::int64_t u = a + (1 << 19), i = std::min<std::int64_t>(u >> 10, 1023);
        const std::int64_t low = m_.tables.sigmoid[i];
        mass = low + (((m_.tables.sigmoid[i + 1] - low) * (u - (i << 10))) >> 10);
    }

    std::int64_t cdf(const Lane& lane, int k) const {
        if (k <= 0) return 0;
        if (k >= 256) return 1 << kPrecision;
        std::int64_t sum = 0, a, mass;
        for (int j = 0; j < m_.components; ++j) {
            boundary(lane, j, k, a, mass);
            sum += lane.weight[j] * mass;
        }
        return (((sum >> 16) * ((1 << kPrecision) - 256)) >> 30) + k;
    }

    // The symbol whose interval [low, high) holds cf: steps that double away from a guess, then halving.
    int find(const Lane& lane, std::int64_t cf, std::int64_t& low, std::int64_t& high) const {
        int best = 0;
        for (int j = 1; j < m_.components; ++j)
            if (lane.weight[j] > lane.weight[best]) best = j;
        int left = 0, right = 256;
        low = 0, high = 1 << kPrecision;
        int probe = clamp((lane.mu[best] + 32) >> 6, 1, 255), step = 1;
        bool rose = false, fell = false;
        while (right - left > 1) {
            const std::int64_t below = cdf(lane, probe);
            if (below <= cf)
                left = probe, low = below, rose = true;
            else
                right = probe, high = below, fell = true;
            if (rose && fell) {
                probe = (left + right) >> 1;
            } else {
                probe = clamp(rose ? left + step : right - step, left + 1, right - 1);
                step *= 2;
            }
        }
        return left;
    }

    // ---- update ----

    void update(int c) {
        const int width = m_.padded_outputs;
        const bool learn = m_.rate != 0;
        if (learn)
            for (auto& s : sums_) std::fill(s.begin(), s.end(), 0);
        spread([&](int worker, std::size_t first, std::size_t n) {
            for (std::size_t i = first; i < first + n; ++i) {
                absorb(c, lanes_[i], scratch_[worker]);
                if (learn) errors(c, lanes_[i]);
            }
            if (learn) add_gradient(first, n, sums_[worker].data(), scratch_[worker]);
        });
        if (!learn) return;
        Layer& layer = layer_[c];
        for (std::size_t n = 1; n < sums_.size(); ++n)
            for (std::size_t i = 0; i < sums_[0].size(); ++i) sums_[0][i] += sums_[n][i];
        layer.b1 = layer.b1 * 0.875;
        layer.b2 = layer.b2 * 0.9921875;
        const double c1 = 1 / (1 - layer.b1), c2 = 1 / (1 - layer.b2);
        const std::int32_t* sums = sums_[0].data();
        const std::size_t n = static_cast<std::size_t>(inputs_) * width;
        adapt(layer.w.data(), layer.wm.data(), layer.wv.data(), sums, n, 1.0 / 16384, c1, c2);
        adapt(layer.b.data(), layer.bm.data(), layer.bv.data(), sums + n, width, 1.0 / 1024, c1, c2);
        round_layer(layer, 0, inputs_);
    }

    void absorb(int c, const Lane& lane, Scratch& s) {
        Block& b = blocks_[lane.block];
        const int x = b.sample[c][lane.pixel];
        int u = 0;
        for (int i = 0; i < 4; ++i) u += lane.alone ? 1280 : std::abs(b.error[c][lane.near[i]]);
        u >>= 2;
        const int weight = std::max(1, 2621440 / (24576 + u * u));
        const int error = 64 * x - lane.mean;
        b.error[c][lane.pixel] = static_cast<std::int16_t>(error);
        std::int32_t& h = row_slow_[lane.slot * channels_ + c];
        std::int32_t& v = b.slow[c][lane.x];
        h = h + std::abs(error) - (h >> 4);
        v = v + h - (v >> 3);
        for (const StateLayout& layout : m_.state[c]) {
            regressors(c, layout, lane, s.d);
            s.d[layout.terms] = x - lane.middle;
            std::fill_n(s.d + layout.terms + 1, kPad, 0);
            switch (layout.forget) {
                case 1: remember<5>(layout, lane, s.d, weight); break;
                case 2: remember<4>(layout, lane, s.d, weight); break;
                case 4: remember<3>(layout, lane, s.d, weight); break;
                default: remember<0>(layout, lane, s.d, weight); break;
            }
        }
    }

    template <int Shift>
    void remember(const StateLayout& layout, const Lane& lane, const std::int32_t* d, int weight) {
        std::int32_t* f = &row_state_[lane.slot * used_ + layout.offset];
        for (int j = 0; j < layout.terms; ++j) {
            const std::int32_t w = d[j] * weight;
            const int from = layout.row[j], size = layout.row[j + 1] - from;
            for (int i = 0; i < size; i += kPad) {
                Int8& entry = int8_at(f + from + i);
                entry = decay<Shift>(entry + w * int8_at(d + j + i), layout.forget);
            }
        }
    }

    static std::int16_t rounded(double g) {
        double v = std::floor(g * 1024 + 0.5);
        if (!(v >= -4095)) v = -4095;
        if (!(v <= 4095)) v = 4095;
        return static_cast<std::int16_t>(v);
    }

    void errors(int c, Lane& lane) const {
        constexpr double kUnit = 1.0 / (1 << 30);
        const int n = m_.components, x = blocks_[lane.block].sample[c][lane.pixel];
        double q[kMaxComponents], mass[kMaxComponents], du[kMaxComponents], dl[kMaxComponents], au[kMaxComponents],
            al[kMaxComponents], z = 0;
        for (int j = 0; j < n; ++j) {
            std::int64_t a_low, c_low, a_high, c_high;
            boundary(lane, j, x, a_low, c_low);
            boundary(lane, j, x + 1, a_high, c_high);
            if (x == 0) c_low = 0;
            if (x == 255) c_high = 1 << 30;
            const double upper = static_cast<double>(c_high) * kUnit, lower = static_cast<double>(c_low) * kUnit;
            q[j] = lane.weight[j] * (1.0 / 65536);
            mass[j] = upper - lower;
            du[j] = upper * (1 - upper), dl[j] = lower * (1 - lower);
            au[j] = static_cast<double>(a_high) * (1.0 / 32768), al[j] = static_cast<double>(a_low) * (1.0 / 32768);
            z = z + q[j] * mass[j];
        }
        z = z + 1.0 / (1 << 20);
        for (int j = 0; j < n; ++j) {
            const double f = q[j] / z;
            const double ratio = static_cast<double>(m_.tables.sig[lane.spread] * m_.tables.inverse[lane.e[j]]) * (1.0 / (1 << 28));
            lane.y_err[j] = rounded(((du[j] - dl[j]) * f) * ratio);
            lane.y_err[n + j] = rounded((au[j] * du[j] - al[j] * dl[j]) * f);
            lane.y_err[2 * n + j] = rounded(q[j] - f * mass[j]);
        }
    }

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

    void adapt(double* w, double* m, double* v, const std::int32_t* sums, std::size_t n, double unit, double c1, double c2) const {
        const double rate = m_.rate;
        for (std::size_t i = 0; i < n; ++i) {
            const double g = sums[i] * unit;
            m[i] = m[i] + (g - m[i]) * 0.125;
            v[i] = v[i] + (g * g - v[i]) * 0.0078125;
            w[i] = w[i] - rate * ((m[i] * c1) / (std::sqrt(v[i] * c2) + 1.0 / (1 << 20)));
        }
    }

    void round_layer(Layer& layer, int first, int end) const {
        const int width = m_.padded_outputs;
        const auto round = [](double v, double unit, double limit) {
            v = std::floor(v * unit + 0.5);
            return static_cast<std::int32_t>(v < -limit ? -limit : v > limit ? limit : v);
        };
        for (int i = first; i < end; ++i) {
            const double* from = &layer.w[static_cast<std::size_t>(i) * width];
            std::int16_t* to = &layer.wq[(static_cast<std::size_t>(i / 2) * width) * 2 + i % 2];
            for (int k = 0; k < width; ++k) to[2 * k] = static_cast<std::int16_t>(round(from[k], 16384, 32767));
        }
        for (int k = 0; k < width; ++k) layer.bq[k] = round(layer.b[k], 262144, 268435456);
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
    std::vector<std::int16_t> in_;
    Layer layer_[kChannels];
    std::vector<std::vector<std::int32_t>> sums_;
    std::vector<Scratch> scratch_;
};

}  // namespace

Pass* BBCODEC_LOCAL_NAME(const Model& model, const std::vector<Shape>& shapes, int channels, const std::int32_t* const* side,
                         int threads) {
    return new GroupPass(model, shapes, channels, side, threads);
}

}  // namespace bbcodec::local

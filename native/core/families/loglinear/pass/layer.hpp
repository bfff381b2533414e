// SPDX-License-Identifier: Apache-2.0
// The layer: tables that learn, one for each context, and the mixer that weighs them (docs/loglinear.md).
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

constexpr int kLine = 16;          // entries of a line: a line is 32 bytes
constexpr int kMaxLines = 14;      // that the decisions of a sample may use
constexpr int kBoundaries = 64;    // the spot of the first boundaries of places; before it are the places
constexpr int kMaxDecisions = 20;  // of a sample

// One number, not a vector of them.
inline int clamp1(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

// The logit of a share, in 2^-10: x from 1 to 2^20.
inline int logarithm(const Layer& layer, int x) {
    if (x < kLogs) return layer.log[x];
    const int shift = 21 - __builtin_clz(static_cast<unsigned>(x));
    return layer.log[x >> shift] + layer.log[kLogs + shift];
}

// The probability of a logit in 2^-10, in 2^-16.
inline int squash(const Layer& layer, int x) { return layer.squash[(clamp1(x, -kLogitLimit, kLogitLimit - 1) + kLogitLimit) >> 3]; }

// A decision that was coded with contexts, to be learned from.
struct Decision {
    std::int16_t base;  // logit of the network's mixture
    std::uint8_t entry, kind, line, bit;
    std::int16_t value;  // of the sample, at and above which the decision is 1
};

// Numbers of the contexts as vectors: those beyond the last context are 0.
template <int N>
struct Wide {
    static constexpr int kVectors = (N + kChunk - 1) / kChunk;
    Row rows[kVectors];

    std::int32_t* numbers() { return rows[0].v; }
    const std::int32_t* numbers() const { return rows[0].v; }
    Ints& operator[](int i) { return rows[i].all(); }
    const Ints& operator[](int i) const { return rows[i].all(); }
};

inline int sum(Ints v) {
    Row row;
    row.all() = v;
    int total = 0;
    for (int i = 0; i < kChunk; ++i) total += row.v[i];
    return total;
}

// The decisions of a sample, and the lines that they used.
template <int N>
struct Trace {
    int decisions = 0, lines = 0;
    std::int8_t group[kMaxLines];  // of boundaries, whose line it is; not set for the first two lines
    Wide<N> hash, base;  // base: what direct contexts count from
    Wide<N> line[kMaxLines];  // places of lines in the tables of all contexts
    Decision decision[kMaxDecisions];

    // Finds the line of a group of boundaries.
    template <typename M>
    int add_group(const M& memory, int number) {
        memory.find(hash, static_cast<std::uint32_t>(kBoundaries + number), line[lines]);
        group[lines] = static_cast<std::int8_t>(number);
        return lines++;
    }
};

// What a channel has learned.
// Direct: some contexts may be direct.
template <int N, bool Direct = true>
class Memory {
  public:
    Memory() = default;

    void begin(const Layer& layer, int kind, int bits) {
        begin(bits);
        for (int k = 0; k < kDecisionKinds; ++k)
            copy(&layer.weights[static_cast<std::size_t>(kind * kDecisionKinds + k) * N], N, weights_[k].numbers());
        for (int f = 0; f < N; ++f) direct_.numbers()[f] = -layer.direct[static_cast<std::size_t>(kind) * N + f];
        for (int k = 0; k < kTermsOfContext; ++k)
            copy(&layer.terms[static_cast<std::size_t>(kind * kTermsOfContext + k) * N], N, terms_[k].numbers());
    }

    // Begins with what a model knows of whole pixels: weights of the mixer, and values of the first context.
    void begin(const std::int32_t* weights, const std::int8_t* start, int bits) {
        begin(bits);
        for (int k = 0; k < kDecisionKinds; ++k) copy(weights + k * N, N, weights_[k].numbers());
        for (int line = 0; line < kPixelLines; ++line)
            for (int k = 0; k < kPixelKinds; ++k)
                if (const int value = start[line * kPixelKinds + k]) tables_[line * kLine + k] = static_cast<std::int16_t>(value * 256 + kStartCount);
    }

    // Makes hashes of the contexts, and what direct ones count from.
    void hash(const std::int32_t* terms, Wide<N>& to, Wide<N>& base) const {
        for (int v = 0; v < kVectors; ++v) {
            Naturals h = reinterpret_cast<Naturals>(seed_[v]);
            base[v] = look_up(terms, terms_[0][v]);
            for (int k = 0; k < kTermsOfContext; ++k) {
                h = (h + reinterpret_cast<Naturals>(look_up(terms, terms_[k][v]))) * kFactor;
                h ^= h >> 15;
            }
            to[v] = reinterpret_cast<Ints>(h);
        }
    }

    // Finds the lines of a spot.
    void find(const Wide<N>& hash, std::uint32_t spot, Wide<N>& line) const {
        for (int v = 0; v < kVectors; ++v) {
            const Naturals h = (reinterpret_cast<Naturals>(hash[v]) + spot * 0x85ebca6bu) * 0xc2b2ae35u;
            line[v] = (reinterpret_cast<Ints>(h >> (36 - bits_) << 4) + first_[v]) & inside_[v];  // beyond the last, entries that there are
        }
    }

    // Finds the lines of a pixel: the first context has its own numbers.
    void find_pixel(const Wide<N>& hash, Wide<N>& line) const {
        find(hash, 0, line);
        line.numbers()[0] = hash.numbers()[0] * kLine;
    }

    void prefetch(const Wide<N>& line) const {
        for (int f = 0; f < N; ++f) __builtin_prefetch(&tables_[line.numbers()[f]], 1);
    }

    // Places of the entries of a decision.
    void places(const Trace<N>& trace, const Decision& d, Wide<N>& at) const {
        for (int v = 0; v < kVectors; ++v) {
            at[v] = trace.line[d.line][v] + d.entry;
            if (Direct) {
                const Ints own = first_[v] + kDirect * d.kind + ((d.value - trace.base[v]) & (kDirect - 1));
                at[v] = direct_[v] ? own : at[v];
            }
            at[v] &= inside_[v];
        }
    }

    // The correction of a logit, in 2^-10, and the entries that it comes from.
    int correction(const Wide<N>& at, int kind, Wide<N>& entries) const {
        Ints total = {};
        for (int v = 0; v < kVectors; ++v) {
            entries[v] = look_up(tables_, at[v]) & inside_[v];
            total += (entries[v] >> 4) * (weights_[kind][v] >> 8);
        }
        return sum(total) >> 10;
    }

    void learn(const Layer& layer, const Trace<N>& trace) {
        const int half = 1 << (layer.mix_shift - 1);
        for (int i = 0; i < trace.decisions; ++i) {
            const Decision d = trace.decision[i];
            Wide<N> at, entries;
            places(trace, d, at);
            const int target = d.bit << 16;
            const int miss = target - squash(layer, d.base + correction(at, d.kind, entries));
            const std::int32_t dither = static_cast<std::int32_t>((visits_++ * kFactor) >> 12);
            Wide<N>& weights = weights_[d.kind];
            for (int v = 0; v < kVectors; ++v) {
                const Ints value = entries[v] >> 4, count = entries[v] & 15;
                const Ints logit = clamp(d.base + 4 * value, -kLogitLimit, kLogitLimit - 1) + kLogitLimit;
                const Ints own = target - look_up(layer.squash.data(), logit >> 3);
                const Ints moved = (own * look_up(layer.rate.data(), count) + dither) >> 20;
                const Ints next = clamp(value + moved, -2048, 2047);
                weights[v] = clamp(weights[v] + ((miss * value + half) >> layer.mix_shift), -kMaxWeight, kMaxWeight);
                entries[v] = next * 16 + least(count + 1, Ints{} + (kCounts - 1));
            }
            for (int f = 0; f < N; ++f)
                tables_[at.numbers()[f]] = static_cast<std::int16_t>(entries.numbers()[f]);
        }
    }

  private:
    void begin(int bits) {
        bits_ = bits, visits_ = 0;
        pages_.resize((static_cast<std::size_t>(N) << bits) * sizeof(std::int16_t) + 4);  // look_up reads beyond the last
        tables_ = static_cast<std::int16_t*>(pages_.data());
        for (int f = 0; f < N; ++f) {
            first_.numbers()[f] = f << bits, inside_.numbers()[f] = -1;
            seed_.numbers()[f] = static_cast<std::int32_t>(f * kFactor);
        }
    }

    static constexpr int kVectors = Wide<N>::kVectors;
    static constexpr int kDirect = 512;    // entries of a direct context for each kind of decision
    static constexpr int kStartCount = 8;  // of values that a model gives
    static constexpr std::uint32_t kFactor = 0x9e3779b1u;
    static constexpr int kMaxWeight = (1 << 22) - 1;  // 4, in 2^-20: with 32 contexts the sum stays within 31 bits

    int bits_ = 0;
    std::uint32_t visits_ = 0;
    Pages pages_;
    std::int16_t* tables_ = nullptr;  // [N][2^bits]: value << 4 | count
    Wide<N> weights_[kDecisionKinds];
    Wide<N> terms_[kTermsOfContext], first_, seed_, inside_, direct_;
};

}  // namespace
}  // namespace bbcodec::loglinear

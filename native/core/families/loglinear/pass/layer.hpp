// SPDX-License-Identifier: Apache-2.0
// The layer: tables that learn, one for each context, and the mixer that weighs them (docs/loglinear.md).
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

constexpr int kLine = 16;          // entries of a line: a line is 32 bytes
constexpr int kMaxLines = 14;      // that the decisions of a sample may use
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
};

// The decisions of a sample, and the lines that they used.
template <int N>
struct Trace {
    int decisions = 0, lines = 0;
    std::uint32_t hash[N];
    std::uint32_t line[kMaxLines][N];  // places of lines in the tables of all contexts
    Decision decision[kMaxDecisions];
};

// What a channel has learned.
template <int N>
class Memory {
  public:
    Memory() = default;

    void begin(const Layer& layer, int kind, int bits) {
        bits_ = bits, visits_ = 0;
        tables_.resize(static_cast<std::size_t>(N) << bits);
        weights_.resize(kDecisionKinds * N);
        copy(&layer.weights[static_cast<std::size_t>(kind) * kDecisionKinds * N], kDecisionKinds * N, weights_.data());
        copy(&layer.terms[static_cast<std::size_t>(kind) * kTermsOfContext * N], kTermsOfContext * N, terms_);
    }

    // Makes hashes of the contexts.
    void hash(const std::int32_t* terms, std::uint32_t* to) const {
        std::uint32_t h[N];
        for (int f = 0; f < N; ++f) h[f] = static_cast<std::uint32_t>(f) * 0x9e3779b1u;
        for (int k = 0; k < kTermsOfContext; ++k)
            for (int f = 0; f < N; ++f) {
                h[f] = (h[f] + static_cast<std::uint32_t>(terms[terms_[k * N + f]])) * 0x9e3779b1u;
                h[f] ^= h[f] >> 15;
            }
        for (int f = 0; f < N; ++f) to[f] = h[f];
    }

    // Finds the lines of a place of the tree.
    void find(const std::uint32_t* hash, std::uint32_t place, std::uint32_t* line) const {
        const int shift = 36 - bits_;
        for (int f = 0; f < N; ++f)
            line[f] = (((hash[f] + place * 0x85ebca6bu) * 0xc2b2ae35u) >> shift << 4) + (static_cast<std::uint32_t>(f) << bits_);
    }

    void prefetch(const std::uint32_t* line) const {
        for (int f = 0; f < N; ++f) __builtin_prefetch(&tables_[line[f]]);
    }

    // The correction of a logit, in 2^-10, and the entries that it comes from.
    int correction(const std::uint32_t* line, int entry, int kind, std::int32_t* entries) const {
        for (int f = 0; f < N; ++f) entries[f] = tables_[line[f] + entry];
        const std::int32_t* weights = &weights_[kind * N];
        std::int32_t sum = 0;
        for (int f = 0; f < N; ++f) sum += (entries[f] >> 4) * (weights[f] >> 8);
        return sum >> 10;
    }

    void learn(const Layer& layer, const Trace<N>& trace) {
        for (int i = 0; i < trace.decisions; ++i) {
            const Decision d = trace.decision[i];
            const std::uint32_t* line = trace.line[d.line];
            std::int32_t entries[N];
            const int target = d.bit << 16;
            const int miss = target - squash(layer, d.base + correction(line, d.entry, d.kind, entries));
            const std::int32_t dither = static_cast<std::int32_t>((visits_++ * 0x9e3779b1u) >> 12);
            std::int32_t* weights = &weights_[d.kind * N];
            const int half = 1 << (layer.mix_shift - 1);
            for (int f = 0; f < N; ++f) {
                const int value = entries[f] >> 4, count = entries[f] & 15;
                const int own = target - squash(layer, d.base + 4 * value);
                const int next = clamp1(value + ((own * layer.rate[count] + dither) >> 20), -2048, 2047);
                weights[f] = clamp1(weights[f] + ((miss * value + half) >> layer.mix_shift), -kMaxWeight, kMaxWeight);
                entries[f] = next * 16 + smaller(count + 1, kCounts - 1);
            }
            for (int f = 0; f < N; ++f) tables_[line[f] + d.entry] = static_cast<std::int16_t>(entries[f]);
        }
    }

  private:
    static constexpr int kMaxWeight = (1 << 22) - 1;  // 4, in 2^-20: with 32 contexts the sum stays within 31 bits

    int bits_ = 0;
    std::uint32_t visits_ = 0;
    Buffer<std::int16_t> tables_;  // [N][2^bits]: value << 4 | count
    Buffer<std::int32_t> weights_;
    std::int32_t terms_[kTermsOfContext * N] = {};
};

}  // namespace
}  // namespace bbcodec::loglinear

// SPDX-License-Identifier: Apache-2.0
// A sample as decisions: to its place of sixteen values, from the one at the prediction outwards, then within it.
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

constexpr int kPlace = 16;  // values of a place
constexpr int kOne = 1 << local::kPrecision;

// Kinds of decisions: at the prediction, upwards, downwards, the four levels within a place, and between two places.
enum Kind { kFirst, kUp, kDown, kWithin, kBetween = kWithin + 4 };

// The mixture of one sample.
struct Mixture {
    int components;
    double weight[local::kMaxComponents], mu[local::kMaxComponents], inverse[local::kMaxComponents];
};

// A sample before it is coded.
struct Setting {
    int reference;  // values are coded relative to it: v - reference + origin
    int origin;     // 256, or 0 for a first channel
    int places;     // 32, or 16
    int middle;     // the place whose beginning is closest to the prediction
    // A boundary is the beginning of a place; four of them share a line.
    static int group(int place) { return place >> 2; }
    int relative(int value) const { return value - reference + origin; }
    int value(int relative) const { return clamp1(relative + reference - origin, 0, 256); }
};

inline Setting setting_for(int c, int centre, int reference) {
    Setting s{c ? reference : 0, c ? 256 : 0, c ? 32 : 16, 0};
    s.middle = clamp1((centre - s.reference + s.origin + kPlace / 2) >> 4, 1, s.places - 1);
    return s;
}

// Codes one sample with Coder::bit(probability, known), and returns it.
template <int N, typename Bits>
class Tree {
  public:
    Tree(const Layer& layer, const local::Tables& tables, const Memory<N>& memory, const Mixture& mixture, const Setting& setting,
         Trace<N>& trace, Bits& bits)
        : layer_(layer), tables_(tables), memory_(memory), mixture_(mixture), s_(setting), trace_(trace), bits_(bits) {}

    // wanted: the sample, if it is known.
    int code(int wanted) {
        wanted_ = s_.relative(wanted);
        int low = 0, high = s_.places, below = 0, above = kOne;
        const int at = cdf(s_.middle * kPlace);
        if (decide_at(s_.middle, at - below, above - at, kFirst)) {
            low = s_.middle, below = at;
            for (int step = 1; low + step < high; step *= 2) {
                const int middle = low + step, share = cdf(middle * kPlace);
                if (!decide_at(middle, share - below, above - share, kUp)) {
                    high = middle, above = share;
                    break;
                }
                low = middle, below = share;
            }
        } else {
            high = s_.middle, above = at;
            for (int step = 1; high - step > low; step *= 2) {
                const int middle = high - step, share = cdf(middle * kPlace);
                if (decide_at(middle, share - below, above - share, kDown)) {
                    low = middle, below = share;
                    break;
                }
                high = middle, above = share;
            }
        }
        while (high - low > 1) {
            const int middle = (low + high) / 2, share = cdf(middle * kPlace);
            if (decide_at(middle, share - below, above - share, kBetween))
                low = middle, below = share;
            else
                high = middle, above = share;
        }
        const int line = low == s_.middle ? 0 : low == s_.middle - 1 ? 1 : add_line(low);
        int first = low * kPlace, node = 1;
        for (int level = 0; level < 4; ++level) {
            const int middle = first + (kPlace / 2 >> level), share = cdf(middle);
            const int bit = decide(middle, share - below, above - share, line, node, kWithin + level);
            if (bit)
                first = middle, below = share;
            else
                above = share;
            node = node * 2 + bit;
        }
        return s_.value(first);
    }

  private:
    int add_line(int place) {
        memory_.find(trace_.hash, static_cast<std::uint32_t>(place), trace_.line[trace_.lines]);
        trace_.group[trace_.lines] = -1;
        return trace_.lines++;
    }

    // The share of values below a relative one, in 2^-20.
    int cdf(int relative) const {
        const int k = s_.value(relative);
        if (k <= 0) return 0;
        if (k >= 256) return kOne;
        const double at = 64.0 * k - 32.0;
        double sum = 0;
        for (int j = 0; j < mixture_.components; ++j) {
            double z = (at - mixture_.mu[j]) * mixture_.inverse[j];
            z = z < -524288.0 ? -524288.0 : z > 524288.0 ? 524288.0 : z;
            const int u = static_cast<int>(z + 524288.0), i = smaller(u >> 10, 1023);
            const auto& [value, rise] = tables_.sigmoid[i];
            const std::int64_t mass = value + (static_cast<std::int64_t>(rise) * (u - (i << 10)) >> 10);
            sum += mixture_.weight[j] * static_cast<double>(mass);
        }
        const std::int64_t c = static_cast<std::int64_t>(sum) >> 16;
        return static_cast<int>(c * (kOne - 256) >> 30) + k;
    }

    // Whether the sample is at or above the beginning of a place.
    int decide_at(int place, int down, int up, Kind kind) {
        if (up <= 0) return 0;
        if (down <= 0) return 1;
        return decide(place * kPlace, down, up, line_of(Setting::group(place)), 4 * (place & 3) + (kind == kBetween ? 3 : kind), kind);
    }

    // The line of a group of boundaries.
    int line_of(int group) {
        for (int i = 2; i < trace_.lines; ++i)
            if (trace_.group[i] == group) return i;
        return trace_.add_group(memory_, group);
    }

    int decide(int middle, int down, int up, int line, int entry, int kind) {
        if (up <= 0) return 0;
        if (down <= 0) return 1;
        const int base = logarithm(layer_, up) - logarithm(layer_, down), known = wanted_ >= middle;
        if (smaller(up, down) < (up + down) >> layer_.skip) return bits_.bit(squash(layer_, base), known);
        Decision& d = trace_.decision[trace_.decisions++];
        d = {static_cast<std::int16_t>(base), static_cast<std::uint8_t>(entry), static_cast<std::uint8_t>(kind),
             static_cast<std::uint8_t>(line), 0, static_cast<std::int16_t>(middle + s_.reference - s_.origin)};
        Wide<N> at, entries;
        memory_.places(trace_, d, at);
        const int bit = bits_.bit(squash(layer_, base + memory_.correction(at, kind, entries)), known);
        d.bit = static_cast<std::uint8_t>(bit);
        return bit;
    }

    const Layer& layer_;
    const local::Tables& tables_;
    const Memory<N>& memory_;
    const Mixture& mixture_;
    const Setting& s_;
    Trace<N>& trace_;
    Bits& bits_;
    int wanted_ = 0;
};

}  // namespace
}  // namespace bbcodec::loglinear

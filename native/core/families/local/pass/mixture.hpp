// SPDX-License-Identifier: Apache-2.0
// Mixtures of integer logistics: from the network's outputs to intervals and back, and the gradients of the cost.
// Doubles hold integers below 2^53, so that all is exact except the gradients; docs/local.md defines how these are rounded.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kPrecision = 20;
constexpr int kMuLimit = 1 << 17;
constexpr int kSymbols = 256;

// A mixture of each lane of a chunk, in floats that are exact. Weights count 2^20, means are within kMuLimit. Inverse scales
// count 2^23: they are quarters of a scale for each 1/64 of a level.
template <int J>
struct Mix {
    Floats weight[J], mu[J], inverse[J];
};

// Mixtures of all slots in memory, and the start of a search for the samples. Adjacent slots are adjacent in memory.
constexpr int kProbes = 8;
struct Mixtures {
    int components = 0;
    std::size_t stride = 0;  // chunks of a part: odd, so that the parts of a chunk fall into different sets of a cache
    Buffer<Row> rows;

    void resize(int n, std::size_t chunks) {
        components = n, stride = chunks | 1;
        rows.resize((3 * n + kProbes + 2) * stride);
    }
    // Parts of a chunk: its weights, mu, inverse scales (floats), the cdf at the probes (floats), their middle and unit (integers).
    Row& at(std::size_t chunk, int part) { return rows[part * stride + chunk]; }
    const Row& at(std::size_t chunk, int part) const { return rows[part * stride + chunk]; }
    int probes() const { return 3 * components; }
    int middle() const { return probes() + kProbes; }
    int unit() const { return middle() + 1; }
};

// Returns a mixture whose rows are load(part), as floats.
template <int J, typename Load>
inline Mix<J> load_mix(Load load) {
    Mix<J> mix;
    for (int j = 0; j < J; ++j) mix.weight[j] = load(j), mix.mu[j] = load(J + j), mix.inverse[j] = load(2 * J + j);
    return mix;
}
template <int J>
inline Mix<J> mix_of(const Mixtures& all, std::size_t chunk) {
    return load_mix<J>([&](int part) { return reinterpret_cast<Floats>(all.at(chunk, part).all()); });
}

// The mixture of half the lanes, ready for intervals: weights count 2^16, inverse scales 2^-10.
template <int J>
struct Logistics {
    Doubles weight[J], mu[J], inverse[J];
};
template <int J>
BBCODEC_INLINE Logistics<J> exact(const Mix<J>& mix, int h) {
    Logistics<J> to;
    for (int j = 0; j < J; ++j) {
        to.weight[j] = to_doubles(half(mix.weight[j], h)) * (1.0 / 16), to.mu[j] = to_doubles(half(mix.mu[j], h));
        to.inverse[j] = to_doubles(half(mix.inverse[j], h)) * 8192.0;
    }
    return to;
}

// Computes A + 2^19 and C of a component at 64 k - 32.
BBCODEC_INLINE void boundary(const Tables& t, Doubles mu, Doubles inverse, Doubles at, Half& u, Doubles& mass) {
    const Doubles limit = Doubles{} + 524288.0;
    u = truncated(least(most((at - mu) * inverse, -limit), limit) + limit);
    const Half i = least(u >> 10, Half{} + 1023);
    const Doubles part = to_doubles(u - (i << 10)) * (1.0 / 1024);
    Doubles value, rise;
    look_up(t.sigmoid.data(), i, value, rise);
    mass = value + whole(rise * part);
}

// Returns the cdf at k of so many symbols (a number, or one of each lane) from the sum of weight times mass.
template <typename N>
BBCODEC_INLINE Half cumulative(Doubles sum, Half k, N symbols) {
    const Half c = truncated(whole(sum * (1.0 / 65536)) * (((1 << kPrecision) - 256) * (1.0 / (1 << 30)))) + k;
    return k <= 0 ? Half{} : k >= symbols ? Half{} + (1 << kPrecision) : c;
}

template <int J, typename N>
BBCODEC_INLINE Half cdf(const Tables& t, const Logistics<J>& mix, Half k, N symbols) {
    const Doubles at = to_doubles(64 * k - 32);
    Doubles sum = {};
    for (int j = 0; j < J; ++j) {
        Half u;
        Doubles mass;
        boundary(t, mix.mu[j], mix.inverse[j], at, u, mass);
        sum = sum + mix.weight[j] * mass;
    }
    return cumulative(sum, k, symbols);
}

// ---- the search for a symbol: a guess in floats, on which no bit depends; then exactly ----

// Returns about the cdf at symbol k, in 2^-20.
template <int J>
BBCODEC_INLINE Floats rough_cdf(const Tables& t, const Mix<J>& mix, Ints k) {
    const Floats at = __builtin_convertvector(64 * k - 32, Floats);
    Floats sum = Floats{} + static_cast<float>(1 << (kPrecision - 1)) + __builtin_convertvector(k, Floats);
    for (int j = 0; j < J; ++j) {
        const Floats z = (at - mix.mu[j]) * mix.inverse[j], size = least(magnitude(z), Floats{} + 31.75f);
        const Ints i = __builtin_convertvector(size, Ints);
        sum = sum + mix.weight[j] * with_sign_of(pick32(t.rough_value.data(), i) + pick32(t.rough_rise.data(), i) * size, z);
    }
    return sum;
}

// A search begins at symbols around the likeliest one.
alignas(64) constexpr std::int32_t kProbeSteps[16] = {-20, -10, -5, -2, 2, 5, 10, 20};  // quarters of a unit

// The symbol in the middle and the unit of the steps, in 1/16 of a symbol.
BBCODEC_INLINE Ints probe(Ints middle, Ints unit, Ints i) {
    return clamp(middle + ((unit * pick16(kProbeSteps, i)) >> 6), 1, 255);
}

// Guesses the symbols of half the lanes whose intervals hold cf. Both halves of a vector have the same lanes and look at different
// symbols: the next pop waits for this one, so that one round of four looks is better than two rounds of two.
template <int J>
BBCODEC_INLINE Half nearly(const Tables& t, const Mix<J>& mix, Half cf, Ints middle, Ints unit, const Floats* known) {
    const Floats wanted = __builtin_convertvector(join(cf, cf), Floats);
    Ints passed = {};
    for (int i = 0; i < kProbes; ++i) passed -= known[i] <= wanted;  // truth is -1
    Ints left = passed > 0 ? probe(middle, unit, passed - 1) : Ints{},
         right = passed < kProbes ? probe(middle, unit, passed) : Ints{} + 256;
    const Ints fifths = join(Half{} + 205, Half{} + 410);  // one and two, of 2^10
    while (any(low(right - left > 1))) {
        const Ints distance = right - left;
        const Ints k = left + (dot_pairs(Ints{}, distance, fifths) >> 10),
                   k2 = left + (dot_pairs(Ints{}, distance, fifths + 410) >> 10);
        const Ints up = (k <= left) | (rough_cdf(t, mix, k) <= wanted), up2 = (k2 <= left) | (rough_cdf(t, mix, k2) <= wanted);
        left = both_halves([](Ints a, Ints b) { return most(a, b); }, most(up ? k : left, up2 ? k2 : left));
        right = both_halves([](Ints a, Ints b) { return least(a, b); }, least(up ? right : k, up2 ? right : k2));
    }
    return low(left);
}

// Returns the symbols whose intervals [below, above) hold cf. Most of them are k.
template <int J, typename N>
BBCODEC_INLINE Half find(const Tables& t, const Logistics<J>& mix, Half cf, Half k, N symbols, Half& below, Half& above) {
    const auto wrong = [&] { return any((cf < below) | (cf >= above)); };
    below = cdf(t, mix, k, symbols), above = cdf(t, mix, k + 1, symbols);
    if (!wrong()) return k;
    k += (cf < below) - (cf >= above);  // truth is -1
    below = cdf(t, mix, k, symbols), above = cdf(t, mix, k + 1, symbols);
    if (!wrong()) return k;
    Half left = cf < below ? Half{} : cf >= above ? k + 1 : k, right = cf < below ? k : cf >= above ? Half{} + symbols : k + 1;
    while (any(right - left > 1)) {
        const Half middle = (left + right) >> 1, up = cdf(t, mix, middle, symbols) <= cf;
        left = up ? middle : left, right = up ? right : middle;
    }
    below = cdf(t, mix, left, symbols), above = cdf(t, mix, left + 1, symbols);
    return left;
}

// Inverse scales of a component by its number, from the least one on.
struct Scales {
    int least;
    const float* inverse;
};

// Makes mixtures from the last layer's outputs, around the predictions `mean`; and the start of a search, if `search`.
template <int J>
BBCODEC_INLINE void make_mixtures(const Tables& t, Scales scales, Ints mean, Ints spread, const Ints* o, bool search, Mixtures& all,
                                  std::size_t chunk) {
    const Ints sig = look_up(t.sig.data(), spread), le = look_up(t.le.data(), spread);
    Ints top = o[2 * J], x[J], total = {};
    for (int j = 1; j < J; ++j) top = most(top, o[2 * J + j]);
    for (int j = 0; j < J; ++j) {
        x[j] = look_up(t.exp.data(), least(top - o[2 * J + j], Ints{} + 2816));
        total += x[j];
    }
    Mix<J> mix;
    Ints rest = Ints{} + 65536, best = {}, middle = {}, width = {};
    for (int j = J - 1; j >= 0; --j) {
        Ints weight = rest;
        if (j > 0) {
            // x 2^16 and total are floats; the quotient, below 2^16, is rounded, so that it may be one too large.
            const Floats quotient = __builtin_convertvector(x[j], Floats) * 65536.0f / __builtin_convertvector(total, Floats);
            weight = __builtin_convertvector(quotient, Ints);
            const Naturals left =
                (reinterpret_cast<Naturals>(x[j]) << 16) - reinterpret_cast<Naturals>(weight) * reinterpret_cast<Naturals>(total);
            weight += reinterpret_cast<Ints>(left) < 0;  // truth is -1; modulo 2^32, the rest is small
            rest -= weight;
        }
        const Ints mu = clamp(mean + ((clamp(o[j], -4096, 4096) * sig + 1024) >> 11), -kMuLimit, kMuLimit);
        const Ints e = clamp((le + ((clamp(o[J + j], -8192, 8192) * 185 + 128) >> 8) + 8) >> 4, scales.least, 79);
        mix.weight[j] = __builtin_convertvector(weight << (kPrecision - 16), Floats);
        mix.mu[j] = __builtin_convertvector(mu, Floats);
        mix.inverse[j] = look_up(scales.inverse, e - scales.least);
        const Ints more = weight >= best;
        best = most(best, weight), middle = more ? mu : middle, width = more ? e : width;
    }
    const auto put = [&](int part, Floats v) { all.at(chunk, part).all() = reinterpret_cast<Ints>(v); };
    for (int j = 0; j < J; ++j) put(j, mix.weight[j]), put(J + j, mix.mu[j]), put(2 * J + j, mix.inverse[j]);
    if (!search) return;
    middle = clamp((middle + 32) >> 6, 1, 255);
    const Ints unit = look_up(t.unit.data(), scales.least < 0 ? most(width, Ints{}) : width);
    for (int i = 0; i < kProbes; ++i) put(all.probes() + i, rough_cdf(t, mix, probe(middle, unit, Ints{} + i)));
    all.at(chunk, all.middle()).all() = middle, all.at(chunk, all.unit()).all() = unit;
}

inline Half rounded(Doubles g) {
    g = g * 1024.0 + 0.5;
    g = g >= -4095.0 ? g : Doubles{} - 4095.0;
    g = g <= 4095.0 ? g : Doubles{} + 4095.0;
    const Half down = truncated(g);
    return down + __builtin_convertvector(to_doubles(down) > g, Half);  // truth is -1
}

// Computes the intervals of symbols x of half the lanes, and the gradients of their cost as integers.
template <int J, typename N>
BBCODEC_INLINE void weigh(const Tables& t, const Logistics<J>& mix, Half sig, Half x, N symbols, bool learn, Half& start, Half& freq,
                          Half* y) {
    constexpr double kUnit = 1.0 / (1 << 30);
    const Doubles symbol = to_doubles(x), last = to_doubles(Half{} + (symbols - 1)), at = 64.0 * symbol - 32.0;
    Doubles below = {}, above = {}, mass[J], du[J], dl[J], au[J], al[J], z = {};
    for (int j = 0; j < J; ++j) {
        Half u_low, u_high;
        Doubles c_low, c_high;
        boundary(t, mix.mu[j], mix.inverse[j], at, u_low, c_low);
        boundary(t, mix.mu[j], mix.inverse[j], at + 64.0, u_high, c_high);
        below = below + mix.weight[j] * c_low, above = above + mix.weight[j] * c_high;
        if (!learn) continue;
        const Doubles upper = (symbol == last ? Doubles{} + (1 << 30) : c_high) * kUnit,
                      lower = (symbol == 0.0 ? Doubles{} : c_low) * kUnit;
        mass[j] = upper - lower;
        du[j] = upper * (1.0 - upper), dl[j] = lower * (1.0 - lower);
        au[j] = to_doubles(u_high - (1 << 19)) * (1.0 / 32768), al[j] = to_doubles(u_low - (1 << 19)) * (1.0 / 32768);
        z = z + (mix.weight[j] * (1.0 / 65536)) * mass[j];
    }
    start = cumulative(below, x, symbols);
    freq = cumulative(above, x + 1, symbols) - start;
    if (!learn) return;
    z = z + 1.0 / (1 << 20);
    for (int j = 0; j < J; ++j) {
        const Doubles q = mix.weight[j] * (1.0 / 65536), f = q / z;
        const Doubles ratio = (to_doubles(sig) * mix.inverse[j]) * (1.0 / (1 << 18));
        y[j] = rounded(((du[j] - dl[j]) * f) * ratio);
        y[J + j] = rounded((au[j] * du[j] - al[j] * dl[j]) * f);
        y[2 * J + j] = rounded(q - f * mass[j]);
    }
}

}  // namespace
}  // namespace bbcodec::local

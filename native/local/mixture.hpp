// SPDX-License-Identifier: Apache-2.0
// Mixtures of integer logistics: from the network's outputs, to intervals and back, and their gradients.
// Doubles hold integers below 2^53 here, so that all of it is exact but the gradients, whose roundings docs/local.md gives.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kPrecision = 20;
constexpr int kMuLimit = 1 << 17;

// The mixture of half the lanes, ready for intervals.
template <int J>
struct Logistics {
    Doubles weight[J], mu[J], inverse[J];  // inverse 2^-10
};

// A + 2^19 and C of a component at 64 k - 32.
inline void boundary(const Tables& t, Doubles mu, Doubles inverse, Doubles at, Half& u, Doubles& mass) {
    const Doubles limit = Doubles{} + 524288.0;
    u = truncated(least(most((at - mu) * inverse, -limit), limit) + limit);
    const Half i = least(u >> 10, Half{} + 1023);
    const Doubles part = to_doubles(u - (i << 10)) * (1.0 / 1024);
    Doubles value, rise;
    look_up(t.sigmoid.data(), i, value, rise);
    mass = value + whole(rise * part);
}

// From the sum of weight times mass.
inline Half cumulative(Doubles sum, Half k) {
    const Half c = truncated(whole(sum * (1.0 / 65536)) * (((1 << kPrecision) - 256) * (1.0 / (1 << 30)))) + k;
    return k <= 0 ? Half{} : k >= 256 ? Half{} + (1 << kPrecision) : c;
}

template <int J>
inline Half cdf(const Tables& t, const Logistics<J>& mix, Half k) {
    const Doubles at = to_doubles(64 * k - 32);
    Doubles sum = {};
    for (int j = 0; j < J; ++j) {
        Half u;
        Doubles mass;
        boundary(t, mix.mu[j], mix.inverse[j], at, u, mass);
        sum = sum + mix.weight[j] * mass;
    }
    return cumulative(sum, k);
}

// ---- the search for a symbol: nearly, in floats that nothing depends on; then exactly ----

// The mixture of all lanes, nearly: inverse scales in 1/4 of a scale.
template <int J>
struct Rough {
    Floats weight[J], mu[J], inverse[J];
};

// The cdf at symbol k, nearly; weights and result count 2^20.
template <int J>
inline Floats rough_cdf(const Tables& t, const Rough<J>& mix, Ints k) {
    const Floats at = __builtin_convertvector(64 * k - 32, Floats);
    Floats sum = Floats{} + static_cast<float>(1 << (kPrecision - 1)) + __builtin_convertvector(k, Floats);
    for (int j = 0; j < J; ++j) {
        const Floats z = (at - mix.mu[j]) * mix.inverse[j], size = least(magnitude(z), Floats{} + 31.75f);
        const Ints i = __builtin_convertvector(size, Ints);
        sum = sum + mix.weight[j] * with_sign_of(pick(t.rough_value.data(), i) + pick(t.rough_rise.data(), i) * size, z);
    }
    return sum;
}

// Where a search begins: symbols around the likeliest, and the cdf there.
constexpr int kProbes = 8;
alignas(64) constexpr std::int32_t kProbeSteps[16] = {-20, -10, -5, -2, 2, 5, 10, 20};  // quarters of a unit

// The mixtures of a chunk's lanes, or of all slots: arrays of which slot i has [k stride + i].
struct Mixtures {
    std::vector<Row> weight, mu, e;  // [components][chunks]
    // For decoding, floats:
    std::vector<Row> rough;  // [3][components][chunks], as `Rough` has them
    std::vector<Row> known;  // [kProbes][chunks]
    std::vector<Row> middle, unit;  // [chunks], of the probes; integers
    std::size_t stride = 0;  // chunks

    void resize(int components, std::size_t chunks) {
        stride = chunks;
        for (auto* part : {&weight, &mu, &e}) part->assign(components * chunks, Row());
        for (auto* part : {&middle, &unit}) part->assign(chunks, Row());
        rough.assign(3 * components * chunks, Row());
        known.assign(kProbes * chunks, Row());
    }
};

// The symbol in the middle and the unit of the steps, in 1/16 of a symbol.
inline Ints probe(Ints middle, Ints unit, Ints i) { return clamp(middle + ((unit * pick16(kProbeSteps, i)) >> 6), 1, 255); }

// The symbols of half the lanes whose intervals hold cf, nearly. The lanes of the other half say nothing.
template <int J>
inline Half nearly(const Tables& t, const Rough<J>& mix, Half cf, Ints middle, Ints unit, const Floats* known) {
    const Floats wanted = __builtin_convertvector(join(cf, Half{}), Floats);
    Ints passed = {};
    for (int i = 0; i < kProbes; ++i) passed -= known[i] <= wanted;  // truth is -1
    Ints left = passed > 0 ? probe(middle, unit, passed - 1) : Ints{}, right = passed < kProbes ? probe(middle, unit, passed) : Ints{} + 256;
    while (any(low(right - left > 1))) {
        const Ints k = (left + right) >> 1, up = rough_cdf(t, mix, k) <= wanted;
        left = up ? k : left, right = up ? right : k;
    }
    return low(left);
}

// The symbols whose intervals [below, above) hold cf, most of which are k.
template <int J>
inline Half find(const Tables& t, const Logistics<J>& mix, Half cf, Half k, Half& below, Half& above) {
    const auto wrong = [&] { return any((cf < below) | (cf >= above)); };
    below = cdf(t, mix, k), above = cdf(t, mix, k + 1);
    if (!wrong()) return k;
    k += (cf < below) - (cf >= above);  // truth is -1
    below = cdf(t, mix, k), above = cdf(t, mix, k + 1);
    if (!wrong()) return k;
    Half left = cf < below ? Half{} : cf >= above ? k + 1 : k, right = cf < below ? k : cf >= above ? Half{} + 256 : k + 1;
    while (any(right - left > 1)) {
        const Half middle = (left + right) >> 1, up = cdf(t, mix, middle) <= cf;
        left = up ? middle : left, right = up ? right : middle;
    }
    below = cdf(t, mix, left), above = cdf(t, mix, left + 1);
    return left;
}

// From the last layer's outputs around the predictions `mean`.
inline void make_mixtures(const Tables& t, int n, Ints mean, Ints spread, const Ints* o, Mixtures& mix, std::size_t chunk) {
    const Ints sig = look_up(t.sig.data(), spread), le = look_up(t.le.data(), spread);
    Ints top = o[2 * n], x[kMaxComponents], total = {};
    for (int j = 1; j < n; ++j) top = most(top, o[2 * n + j]);
    for (int j = 0; j < n; ++j) {
        mix.mu[j * mix.stride + chunk].all() = mean + ((clamp(o[j], -4096, 4096) * sig + 1024) >> 11);
        mix.e[j * mix.stride + chunk].all() = clamp((le + ((clamp(o[n + j], -8192, 8192) * 185 + 128) >> 8) + 8) >> 4, 0, 79);
        x[j] = look_up(t.exp.data(), least(top - o[2 * n + j], Ints{} + 2816));
        total += x[j];
    }
    Ints rest = Ints{} + 65536;
    for (int j = 1; j < n; ++j) {
        // x 2^16 and total are floats; the quotient, below 2^16, is rounded, so that it may be one too large.
        const Floats quotient = __builtin_convertvector(x[j], Floats) * 65536.0f / __builtin_convertvector(total, Floats);
        Ints weight = __builtin_convertvector(quotient, Ints);
        weight += (x[j] << 16) - weight * total < 0;  // truth is -1; modulo 2^32, the rest is small
        mix.weight[j * mix.stride + chunk].all() = weight;
        rest -= weight;
    }
    mix.weight[chunk].all() = rest;
}

template <int J>
inline void spell_out(const Tables& t, const Half* weight, const Half* mu, const Half* e, Logistics<J>& to) {
    for (int j = 0; j < J; ++j) {
        to.weight[j] = to_doubles(weight[j]);
        to.mu[j] = to_doubles(clamp(mu[j], Half{} - kMuLimit, Half{} + kMuLimit));
        to.inverse[j] = to_doubles(look_up(t.inverse.data(), e[j])) * (1.0 / 1024);
    }
}

inline Half rounded(Doubles g) {
    g = g * 1024.0 + 0.5;
    g = g >= -4095.0 ? g : Doubles{} - 4095.0;
    g = g <= 4095.0 ? g : Doubles{} + 4095.0;
    const Half down = truncated(g);
    return down + __builtin_convertvector(to_doubles(down) > g, Half);  // truth is -1
}

// Intervals of symbols x of half the lanes, and the gradients of their cost, in the integers that the last layer learns from.
template <int J>
inline void weigh(const Tables& t, const Logistics<J>& mix, Half sig, Half x, bool learn, Half& start, Half& freq, Half* y) {
    constexpr double kUnit = 1.0 / (1 << 30);
    const Doubles symbol = to_doubles(x), at = 64.0 * symbol - 32.0;
    Doubles below = {}, above = {}, mass[J], du[J], dl[J], au[J], al[J], z = {};
    for (int j = 0; j < J; ++j) {
        Half u_low, u_high;
        Doubles c_low, c_high;
        boundary(t, mix.mu[j], mix.inverse[j], at, u_low, c_low);
        boundary(t, mix.mu[j], mix.inverse[j], at + 64.0, u_high, c_high);
        below = below + mix.weight[j] * c_low, above = above + mix.weight[j] * c_high;
        if (!learn) continue;
        const Doubles upper = (symbol == 255.0 ? Doubles{} + (1 << 30) : c_high) * kUnit, lower = (symbol == 0.0 ? Doubles{} : c_low) * kUnit;
        mass[j] = upper - lower;
        du[j] = upper * (1.0 - upper), dl[j] = lower * (1.0 - lower);
        au[j] = to_doubles(u_high - (1 << 19)) * (1.0 / 32768), al[j] = to_doubles(u_low - (1 << 19)) * (1.0 / 32768);
        z = z + (mix.weight[j] * (1.0 / 65536)) * mass[j];
    }
    start = cumulative(below, x);
    freq = cumulative(above, x + 1) - start;
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

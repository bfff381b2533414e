// SPDX-License-Identifier: Apache-2.0
// Mixtures of integer logistics: from the network's outputs, to intervals and back, and their gradients.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

struct Mixture {
    std::int32_t weight[kMaxComponents], mu[kMaxComponents], e[kMaxComponents];
    int spread = 0;  // ks
};

constexpr int kPrecision = 20;
constexpr int kMuLimit = 1 << 17;

// A and C of one component at the lower boundary of symbol k (tables.py).
inline void boundary(const Tables& t, const Mixture& mix, int j, int k, std::int64_t& a, std::int64_t& mass) {
    const std::int64_t mu = clamp(mix.mu[j], -kMuLimit, kMuLimit);
    a = ((64 * k - 32 - mu) * t.inverse[mix.e[j]]) >> 10;
    a = std::min<std::int64_t>(std::max<std::int64_t>(a, -(1 << 19)), 1 << 19);
    const std::int64_t u = a + (1 << 19), i = std::min<std::int64_t>(u >> 10, 1023);
    const std::int64_t low = t.sigmoid[i];
    mass = low + (((t.sigmoid[i + 1] - low) * (u - (i << 10))) >> 10);
}

inline std::int64_t cdf(const Model& m, const Mixture& mix, int k) {
    if (k <= 0) return 0;
    if (k >= 256) return 1 << kPrecision;
    std::int64_t sum = 0, a, mass;
    for (int j = 0; j < m.components; ++j) {
        boundary(m.tables, mix, j, k, a, mass);
        sum += mix.weight[j] * mass;
    }
    return (((sum >> 16) * ((1 << kPrecision) - 256)) >> 30) + k;
}

// The symbol whose interval [low, high) holds cf: steps that double away from a guess, then halving.
inline int find(const Model& m, const Mixture& mix, std::int64_t cf, std::int64_t& low, std::int64_t& high) {
    int best = 0;
    for (int j = 1; j < m.components; ++j)
        if (mix.weight[j] > mix.weight[best]) best = j;
    int left = 0, right = 256;
    low = 0, high = 1 << kPrecision;
    int probe = clamp((mix.mu[best] + 32) >> 6, 1, 255), step = 1;
    bool rose = false, fell = false;
    while (right - left > 1) {
        const std::int64_t below = cdf(m, mix, probe);
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

// From the last layer's outputs around the prediction `mean`; spread is set.
inline void make_mixture(const Model& m, int mean, const std::int32_t* o, Mixture& mix) {
    const Tables& t = m.tables;
    const int n = m.components;
    int top = o[2 * n];
    for (int j = 1; j < n; ++j) top = std::max(top, o[2 * n + j]);
    std::int64_t total = 0, rest = 65536;
    std::int64_t x[kMaxComponents];
    for (int j = 0; j < n; ++j) {
        mix.mu[j] = mean + ((clamp(o[j], -4096, 4096) * t.sig[mix.spread] + 1024) >> 11);
        mix.e[j] = clamp((t.le[mix.spread] + ((clamp(o[n + j], -8192, 8192) * 185 + 128) >> 8) + 8) >> 4, 0, 79);
        x[j] = t.exp[std::min<std::int64_t>(static_cast<std::int64_t>(top) - o[2 * n + j], 2816)];
        total += x[j];
    }
    for (int j = 1; j < n; ++j) {
        mix.weight[j] = static_cast<std::int32_t>(x[j] * 65536 / total);
        rest -= mix.weight[j];
    }
    mix.weight[0] = static_cast<std::int32_t>(rest);
}

inline std::int16_t rounded(double g) {
    double v = std::floor(g * 1024 + 0.5);
    if (!(v >= -4095)) v = -4095;
    if (!(v <= 4095)) v = 4095;
    return static_cast<std::int16_t>(v);
}

// Gradients of the cost of symbol x, in the integers that the last layer learns from.
inline void gradients(const Model& m, const Mixture& mix, int x, std::int16_t* y) {
    constexpr double kUnit = 1.0 / (1 << 30);
    const int n = m.components;
    double q[kMaxComponents], mass[kMaxComponents], du[kMaxComponents], dl[kMaxComponents], au[kMaxComponents],
        al[kMaxComponents], z = 0;
    for (int j = 0; j < n; ++j) {
        std::int64_t a_low, c_low, a_high, c_high;
        boundary(m.tables, mix, j, x, a_low, c_low);
        boundary(m.tables, mix, j, x + 1, a_high, c_high);
        if (x == 0) c_low = 0;
        if (x == 255) c_high = 1 << 30;
        const double upper = static_cast<double>(c_high) * kUnit, lower = static_cast<double>(c_low) * kUnit;
        q[j] = mix.weight[j] * (1.0 / 65536);
        mass[j] = upper - lower;
        du[j] = upper * (1 - upper), dl[j] = lower * (1 - lower);
        au[j] = static_cast<double>(a_high) * (1.0 / 32768), al[j] = static_cast<double>(a_low) * (1.0 / 32768);
        z = z + q[j] * mass[j];
    }
    z = z + 1.0 / (1 << 20);
    for (int j = 0; j < n; ++j) {
        const double f = q[j] / z;
        const double ratio = static_cast<double>(m.tables.sig[mix.spread] * m.tables.inverse[mix.e[j]]) * (1.0 / (1 << 28));
        y[j] = rounded(((du[j] - dl[j]) * f) * ratio);
        y[n + j] = rounded((au[j] * du[j] - al[j] * dl[j]) * f);
        y[2 * n + j] = rounded(q[j] - f * mass[j]);
    }
}

}  // namespace
}  // namespace bbcodec::local

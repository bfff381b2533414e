// SPDX-License-Identifier: Apache-2.0
// The inputs of the network for the lanes of a chunk.
// Part of chain_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::deep {
namespace {

constexpr int kLeastExponent = 12;
constexpr int kLargest = (1 << 24) - 1;
constexpr int kFarthest = 1 << 14;

// Samples and errors around the lanes, by position.
struct Surroundings {
    Ints own[local::kOwn], error[6];
    Ints other[kReferences][kAround], other_error[kReferences][3];
    Ints guess[kPredictors], slow;
};

inline Ints quarter_log(Ints v) { return local::quarter_log(least(v, Ints{} + kLargest)); }
inline Ints excess(Ints k) { return most((k >> 2) - kLeastExponent, Ints{}); }
inline Ints normed(Ints v, Ints shift, Ints r) {
    return clamp((clamp(v >> shift, -kFarthest, kFarthest) * r + 8192) >> 14, -127, 127);
}

// Computes the features of a plane with so many references around the predictions `mean`; returns ks. `bits` are those of its top.
inline Ints features(const local::Tables& t, int references, int bits, const Surroundings& around, Ints mean, Ints* f) {
    using local::clamp8;
    const Ints* e = around.error;
    Ints offset[local::kOwn], miss = 64 + 2 * magnitude(e[0]) + 2 * magnitude(e[1]), texture = Ints{} + 64;
    for (int i = 0; i < local::kOwn; ++i) offset[i] = 64 * around.own[i] - mean;
    for (int i = 2; i < 6; ++i) miss += magnitude(e[i]);
    for (int i = 0; i < 10; ++i) texture += magnitude(offset[i]);
    const Ints ks = quarter_log(miss), kt = quarter_log(texture), s1 = excess(ks), s2 = excess(kt);
    const Ints r1 = look_up(t.r1.data(), ks - 4 * s1), r2 = look_up(t.r2.data(), kt - 4 * s2);
    for (int i = 0; i < local::kOwn; ++i) f[i] = normed(offset[i], s2, r2);
    for (int i = 0; i < 6; ++i) f[16 + i] = normed(e[i], s1, r1);
    f[22] = normed(around.guess[0] - around.guess[1], s1, r1);
    f[23] = clamp8(3 * (ks - 48)), f[24] = clamp8(3 * (kt - 48)), f[25] = clamp8(3 * (quarter_log(around.slow) - 40));
    f[26] = clamp8(((2 * mean) >> bits) - 64);
    for (int i = local::used_features(references); i < local::kFeatures; ++i) f[i] = Ints{};
    for (int k = 0; k < references; ++k) {
        Ints* g = f + 27 + 10 * k;
        const Ints *error = around.other_error[k], *other = around.other[k];
        for (int i = 0; i < 3; ++i) g[i] = normed(error[i], s1, r1);
        g[3] = clamp8(3 * (quarter_log(64 + 8 * magnitude(error[0])) - ks));
        for (int i = 0; i < 6; ++i) g[4 + i] = normed(64 * (other[1 + i] - other[0]), s2, r2);
    }
    return ks;
}

}  // namespace
}  // namespace bbcodec::deep

// SPDX-License-Identifier: Apache-2.0
// The inputs of the network for the lanes of a chunk.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// Samples and errors around the lanes, by position. In earlier channels the pixel itself comes first.
struct Surroundings {
    Ints own[kOwn], error[6];
    Ints other[2][kEarlier], other_error[2][3];
    Ints guess[kPredictors], slow, alone;
};

// Computes the features of channel c around the predictions `mean`; returns ks.
inline Ints features(const Tables& t, int c, const Surroundings& around, Ints mean, Ints* f) {
    const Ints* e = around.error;
    Ints offset[kOwn], miss = 64 + 2 * magnitude(e[0]) + 2 * magnitude(e[1]), texture = Ints{} + 64;
    for (int i = 0; i < kOwn; ++i) offset[i] = 64 * around.own[i] - mean;
    for (int i = 2; i < 6; ++i) miss += magnitude(e[i]);
    for (int i = 0; i < 10; ++i) texture += magnitude(offset[i]);
    const Ints ks = quarter_log(miss), kt = quarter_log(texture);
    const Ints r1 = look_up(t.r1.data(), ks), r2 = look_up(t.r2.data(), kt);
    for (int i = 0; i < kOwn; ++i) f[i] = normed(offset[i], r2);
    for (int i = 0; i < 6; ++i) f[16 + i] = normed(e[i], r1);
    f[22] = normed(around.guess[0] - around.guess[1], r1);
    f[23] = clamp8(3 * (ks - 48)), f[24] = clamp8(3 * (kt - 48)), f[25] = clamp8(3 * (quarter_log(around.slow) - 40));
    f[26] = clamp8((mean >> 7) - 64);
    for (int i = used_features(c); i < kFeatures; ++i) f[i] = Ints{};
    for (int k = 0; k < c; ++k) {
        Ints* g = f + 27 + 10 * k;
        const Ints *error = around.other_error[k], *other = around.other[k];
        g[0] = normed(error[0], r1);
        for (int i = 1; i < 3; ++i) g[i] = normed(error[i], r1) & ~around.alone;
        g[3] = clamp8(3 * (quarter_log(64 + 8 * magnitude(error[0])) - ks));
        // Samples of the earlier channel at S0 .. S5 are X1 .. X6.
        for (int i = 0; i < 6; ++i) g[4 + i] = normed(64 * (other[1 + i] - other[0]), r2) & ~around.alone;
    }
    return ks;
}

}  // namespace
}  // namespace bbcodec::local

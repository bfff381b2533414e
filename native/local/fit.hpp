// SPDX-License-Identifier: Apache-2.0
// Least squares of eight lanes at once: one element of a vector for each.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kTogether = 8;  // lanes whose least squares are solved at once
constexpr int kSums = (kMaxTerms + kPad) * kMaxTerms;
static_assert(kTogether == kPad);

// to[i] = numbers at + i of the 8 lanes, as doubles.
inline void transpose(const std::int32_t (&lanes)[kTogether][kSums], int at, Double8* to) {
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

inline Double8 inverse_pivot(Double8 pivot, double ridge) {
    pivot = pivot < ridge ? Double8{} + ridge : pivot;
    return 1.0 / pivot;
}

// Eliminates the rows of a and returns the prediction. Two rows at a time: each number that they change is read and
// written once, in the order that the rows have.
inline Double8 eliminate(Double8* a, int n, double ridge) {
    Double8 sum = {};
    Double8* top = a;
    for (int k = 0; k < n; k += 2) {
        const int length = n - k + 2;
        Double8* second = top + length;
        const Double8 r = inverse_pivot(top[0], ridge);
        sum = sum + (top[n - k] * r) * top[n - k + 1];
        if (k + 1 == n) break;
        const Double8 factor = top[1] * r;
        for (int j = 1; j < length; ++j) second[j - 1] = second[j - 1] - factor * top[j];
        const Double8 r2 = inverse_pivot(second[0], ridge);
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

}  // namespace
}  // namespace bbcodec::local

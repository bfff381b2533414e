// SPDX-License-Identifier: Apache-2.0
// Least squares: sums that forget along rows and down columns, solved once a cell for sixteen lanes at a time.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kTogether = 16;  // lanes that are solved at once
constexpr int kSums = (kMaxTerms + kPad) * kMaxTerms;
static_assert(kTogether == 2 * kPad);

// to[i] = numbers at + i of the 16 lanes, as floats, for i = 0 .. 7.
inline void transpose(const std::int32_t (&lanes)[kTogether][kSums], int at, Float16* to) {
    Int8 t[2][8];
    for (int half = 0; half < 2; ++half) {
        Int8 a[8], b[8];
        for (int l = 0; l < 8; ++l) a[l] = int8_at(lanes[8 * half + l] + at);
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
            t[half][i] = __builtin_shuffle(a[i], a[i + 4], Int8{0, 1, 2, 3, 8, 9, 10, 11});
            t[half][i + 4] = __builtin_shuffle(a[i], a[i + 4], Int8{4, 5, 6, 7, 12, 13, 14, 15});
        }
    }
    for (int i = 0; i < 8; ++i) {
        const Float8 low = __builtin_convertvector(t[0][i], Float8), high = __builtin_convertvector(t[1][i], Float8);
        std::memcpy(reinterpret_cast<float*>(to + i), &low, sizeof low);
        std::memcpy(reinterpret_cast<float*>(to + i) + 8, &high, sizeof high);
    }
}

// Row k of a, packed: (k, k) .. (k, n - 1), then the right-hand side.
inline Float16* row_of(Float16* a, int n, int k) { return a + k * (n + 1) - k * (k - 1) / 2; }

inline Float16 inverse_pivot(Float16 pivot, float ridge) {
    pivot = pivot < ridge ? Float16{} + ridge : pivot;
    return 1.0f / pivot;
}

// Solves a for w. Two rows are eliminated at a time: each number that they change is read and written once, in the order that
// the rows have.
inline void solve(Float16* a, int n, float ridge, Float16* w) {
    Float16 r[kMaxTerms];
    Float16* top = a;
    for (int k = 0; k < n; k += 2) {
        const int length = n - k + 1;
        Float16* second = top + length;
        r[k] = inverse_pivot(top[0], ridge);
        if (k + 1 == n) break;
        const Float16 factor = top[1] * r[k];
        for (int j = 1; j < length; ++j) second[j - 1] = second[j - 1] - factor * top[j];
        r[k + 1] = inverse_pivot(second[0], ridge);
        Float16* to = second + length - 1;
        for (int i = 2; i < n - k; ++i) {
            const Float16 f = top[i] * r[k], f2 = second[i - 1] * r[k + 1];
            for (int j = i; j < length; ++j, ++to) *to = (*to - f * top[j]) - f2 * second[j - 1];
        }
        top = second + length - 1;
    }
    for (int k = n - 1; k >= 0; --k) {
        w[k] = *(row_of(a, n, k) + n - k) * r[k];
        for (int i = 0; i < k; ++i) {
            Float16* row = row_of(a, n, i);
            row[n - i] = row[n - i] - row[k - i] * w[k];
        }
    }
}

// w d, added up in eight columns; size is a multiple of 8.
inline float predicted(const float* w, const std::int32_t* d, int size) {
    Float8 sum = {};
    for (int i = 0; i < size; i += 8)
        sum = sum + *reinterpret_cast<const Float8*>(w + i) * __builtin_convertvector(int8_at(d + i), Float8);
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

// The pixels of a cell: numbers of the first two side by side, and of the third beside zeros. The target stands at [terms].
struct Cell {
    alignas(32) std::int16_t first[2 * kSpan], second[2 * kSpan];
    std::int16_t weight[kCell + 1];

    // Takes in the regressors of the pixel; size is a multiple of 8. What is left of an earlier cell has no weight.
    void put(int pixel, const std::int32_t* d, int size) {
        if (pixel == 0) std::fill(weight, weight + kCell + 1, std::int16_t{0});
        std::int32_t* pair = reinterpret_cast<std::int32_t*>(pixel < 2 ? first : second);
        for (int i = 0; i < size; i += 8)
            int8_at(pair + i) = pixel == 1 ? (int8_at(pair + i) & 0xffff) | int8_at(d + i) << 16 : int8_at(d + i) & 0xffff;
    }
    void put_target(int pixel, int terms, int target, int w) {
        (pixel < 2 ? first : second)[2 * terms + (pixel & 1)] = static_cast<std::int16_t>(target);
        weight[pixel] = static_cast<std::int16_t>(w);
    }
};

// Sums of the products of eight pairs of pixels with one: x[2i] a + x[2i + 1] b.
inline Int8 pair_products(const std::int16_t* x, const std::int16_t* both) {
#if BBCODEC_LOCAL_TARGET > 0
    std::int32_t ab;
    std::memcpy(&ab, both, 4);
    return reinterpret_cast<Int8>(_mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), _mm256_set1_epi32(ab)));
#else
    Int8 sum;
    for (int i = 0; i < 8; ++i) sum[i] = x[2 * i] * both[0] + x[2 * i + 1] * both[1];
    return sum;
#endif
}

// The cell is done: the row's sums take it in, and the column's take in the row's.
template <int Along, int Down>
inline void remember(const StateLayout& layout, const Cell& cell, std::int32_t* row, std::int32_t* column) {
    alignas(32) std::int16_t scaled[2][2 * kSpan];
    for (int i = 0; i < 2 * layout.terms; ++i) {
        scaled[0][i] = static_cast<std::int16_t>(cell.first[i] * cell.weight[i & 1]);
        scaled[1][i] = static_cast<std::int16_t>(cell.second[i] * cell.weight[2 + (i & 1)]);
    }
    for (int j = 0; j < layout.terms; ++j) {
        const int from = layout.row[j], size = layout.row[j + 1] - from;
        for (int i = 0; i < size; i += kPad) {
            const Int8 sum = pair_products(cell.first + 2 * (j + i), scaled[0] + 2 * j) +
                             pair_products(cell.second + 2 * (j + i), scaled[1] + 2 * j);
            Int8 &f = int8_at(row + from + i), &g = int8_at(column + from + i);
            const Int8 along = decay<Along>(f + sum);
            f = along;
            g = decay<Down>(g + along);
        }
    }
}

using Remember = void (*)(const StateLayout&, const Cell&, std::int32_t*, std::int32_t*);

template <int Along>
inline Remember remember_down(int down) {
    constexpr Remember kAll[] = {remember<Along, 1>, remember<Along, 2>, remember<Along, 3>, remember<Along, 4>};
    return kAll[down - 1];
}
inline Remember remember_for(const StateLayout& layout) {
    switch (layout.along) {
        case 1: return remember_down<1>(layout.down);
        case 2: return remember_down<2>(layout.down);
        default: return remember_down<3>(layout.down);
    }
}

}  // namespace
}  // namespace bbcodec::local

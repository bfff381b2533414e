// SPDX-License-Identifier: Apache-2.0
// Products of vectors and matrices of small integers: the network's arithmetic, and the sums of its gradients.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

#if BBCODEC_LOCAL_TARGET == 2
using Wide = __m512i;
inline Wide load(const void* p) { return _mm512_loadu_si512(p); }
inline void store(void* p, Wide v) { _mm512_storeu_si512(p, v); }
inline Wide all32(std::int32_t v) { return _mm512_set1_epi32(v); }
inline Wide all16(std::int16_t v) { return _mm512_set1_epi16(v); }
inline Wide add32(Wide a, Wide b) { return _mm512_add_epi32(a, b); }
inline Wide add16(Wide a, Wide b) { return _mm512_add_epi16(a, b); }
inline Wide dot16(Wide a, Wide b) { return _mm512_madd_epi16(a, b); }
inline Wide dot8(Wide a, Wide b) { return _mm512_maddubs_epi16(a, b); }
#elif BBCODEC_LOCAL_TARGET == 1
using Wide = __m256i;
inline Wide load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline void store(void* p, Wide v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline Wide all32(std::int32_t v) { return _mm256_set1_epi32(v); }
inline Wide all16(std::int16_t v) { return _mm256_set1_epi16(v); }
inline Wide add32(Wide a, Wide b) { return _mm256_add_epi32(a, b); }
inline Wide add16(Wide a, Wide b) { return _mm256_add_epi16(a, b); }
inline Wide dot16(Wide a, Wide b) { return _mm256_madd_epi16(a, b); }
inline Wide dot8(Wide a, Wide b) { return _mm256_maddubs_epi16(a, b); }
#endif

#if BBCODEC_LOCAL_TARGET > 0
constexpr int kWide = sizeof(Wide);
constexpr int kPairLanes = 4;

// Outputs o of dot_pairs, V vectors of them, for L lanes.
template <int L, int V>
inline void dot_pairs_part(const std::int16_t* const* x, int pairs, const std::int16_t* w, int outputs, std::int32_t* const* acc,
                           int at) {
    Wide sum[L][V];
    for (auto& lane : sum)
        for (Wide& s : lane) s = all32(0);
    w += 2 * at;
    for (int p = 0; p < pairs; ++p, w += 2 * outputs) {
        Wide weights[V];
        for (int i = 0; i < V; ++i) weights[i] = load(w + i * kWide / 2);
        for (int l = 0; l < L; ++l) {
            std::int32_t both;
            std::memcpy(&both, x[l] + 2 * p, 4);
            const Wide v = all32(both);
            for (int i = 0; i < V; ++i) sum[l][i] = add32(sum[l][i], dot16(v, weights[i]));
        }
    }
    for (int l = 0; l < L; ++l)
        for (int i = 0; i < V; ++i) store(acc[l] + at + i * kWide / 4, sum[l][i]);
}
#else
constexpr int kPairLanes = 1;
#endif

// acc[l][o] = sum over pairs of x[l][2p] w[p][o][0] + x[l][2p+1] w[p][o][1] for kPairLanes lanes; outputs is a multiple of 16.
inline void dot_pairs(const std::int16_t* const* x, int pairs, const std::int16_t* w, int outputs, std::int32_t* const* acc) {
#if BBCODEC_LOCAL_TARGET > 0
    int o = 0;
    for (; o + kWide <= outputs; o += kWide) dot_pairs_part<kPairLanes, 4>(x, pairs, w, outputs, acc, o);
    for (; o < outputs; o += 16) dot_pairs_part<kPairLanes, 64 / kWide>(x, pairs, w, outputs, acc, o);
#else
    std::fill(acc[0], acc[0] + outputs, 0);
    for (int p = 0; p < pairs; ++p) {
        const std::int32_t a = x[0][2 * p], b = x[0][2 * p + 1];
        const std::int16_t* row = w + static_cast<std::size_t>(p) * outputs * 2;
        for (int o = 0; o < outputs; ++o) acc[0][o] += a * row[2 * o] + b * row[2 * o + 1];
    }
#endif
}

// acc[l][o] = sum over i of a[l][i] w[i / 2][o][i % 2] for L lanes, with signs w of +-1; n and outputs are multiples of 64.
#if BBCODEC_LOCAL_TARGET > 0
constexpr int kSignLanes = BBCODEC_LOCAL_TARGET == 2 ? 4 : 2;

template <int L>
inline void dot_signs(const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    constexpr int kVectors = 64 / (kWide / 2) > 2 ? 4 : 2, kEach = kWide / 2;  // outputs of a vector
    static_assert(128 * 255 < 1 << 15);
    for (int o = 0; o < outputs; o += kVectors * kEach) {
        for (int l = 0; l < L; ++l) std::fill_n(acc[l] + o, kVectors * kEach, 0);
        for (int first = 0; first < n; first += 128) {
            const std::int8_t* row = w + (static_cast<std::size_t>(first / 2) * outputs + o) * 2;
            Wide sum[L][kVectors];
            for (auto& lane : sum)
                for (Wide& v : lane) v = all16(0);
            const int end = std::min(n, first + 128);
            for (int i = first; i < end; i += 2, row += 2 * outputs) {
                Wide signs[kVectors];
                for (int j = 0; j < kVectors; ++j) signs[j] = load(row + j * kWide);
                for (int l = 0; l < L; ++l) {
                    std::int16_t both;
                    std::memcpy(&both, a[l] + i, 2);
                    const Wide v = all16(both);
                    for (int j = 0; j < kVectors; ++j) sum[l][j] = add16(sum[l][j], dot8(v, signs[j]));
                }
            }
            for (int l = 0; l < L; ++l) {
                alignas(64) std::int16_t part[kVectors * kEach];
                for (int j = 0; j < kVectors; ++j) store(part + j * kEach, sum[l][j]);
                for (int k = 0; k < kVectors * kEach; ++k) acc[l][o + k] += part[k];
            }
        }
    }
}
#else
constexpr int kSignLanes = 1;

template <int L>
inline void dot_signs(const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    static_assert(L == 1);
    std::fill(*acc, *acc + outputs, 0);
    for (int i = 0; i < n; i += 2) {
        const std::int8_t* row = w + static_cast<std::size_t>(i / 2) * outputs * 2;
        const std::int32_t x = (*a)[i], y = (*a)[i + 1];
        for (int o = 0; o < outputs; ++o) (*acc)[o] += x * row[2 * o] + y * row[2 * o + 1];
    }
}
#endif

#if BBCODEC_LOCAL_TARGET == 2
// As dot_signs, with any weights w[i / 4][o][i % 4].
template <int L>
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"))) inline void dot_quads_vnni(
    const std::uint8_t* const* a, int n, const std::int8_t* w, int outputs, std::int32_t* const* acc) {
    for (int o = 0; o < outputs; o += 64) {
        __m512i sum[L][4];
        for (auto& lane : sum)
            for (__m512i& v : lane) v = _mm512_setzero_si512();
        const std::int8_t* row = w + static_cast<std::size_t>(o) * 4;
        for (int i = 0; i < n; i += 4, row += 4 * outputs) {
            __m512i signs[4];
            for (int j = 0; j < 4; ++j) signs[j] = _mm512_loadu_si512(row + 64 * j);
            for (int l = 0; l < L; ++l) {
                std::int32_t four;
                std::memcpy(&four, a[l] + i, 4);
                const __m512i v = _mm512_set1_epi32(four);
                for (int j = 0; j < 4; ++j) sum[l][j] = _mm512_dpbusd_epi32(sum[l][j], v, signs[j]);
            }
        }
        for (int l = 0; l < L; ++l)
            for (int j = 0; j < 4; ++j) _mm512_storeu_si512(acc[l] + o + 16 * j, sum[l][j]);
    }
}
#endif

// sums[i][k] += sum over `pairs` of x[p][i][0] y[p][k][0] + x[p][i][1] y[p][k][1]; width is a multiple of 16.
inline void outer_pairs(const std::int16_t* x, int n, const std::int16_t* y, int width, int pairs, std::int32_t* sums) {
    for (int i = 0; i < n; ++i) {
        std::int32_t* row = sums + static_cast<std::size_t>(i) * width;
#if BBCODEC_LOCAL_TARGET > 0
        for (int k = 0; k < width; k += kWide / 4) {
            Wide sum = load(row + k);
            for (int p = 0; p < pairs; ++p) {
                std::int32_t both;
                std::memcpy(&both, x + (static_cast<std::size_t>(p) * n + i) * 2, 4);
                sum = add32(sum, dot16(all32(both), load(y + (static_cast<std::size_t>(p) * width + k) * 2)));
            }
            store(row + k, sum);
        }
#else
        for (int p = 0; p < pairs; ++p) {
            const std::int16_t* xp = x + (static_cast<std::size_t>(p) * n + i) * 2;
            const std::int16_t* yp = y + static_cast<std::size_t>(p) * width * 2;
            for (int k = 0; k < width; ++k) row[k] += xp[0] * yp[2 * k] + xp[1] * yp[2 * k + 1];
        }
#endif
    }
}

}  // namespace
}  // namespace bbcodec::local

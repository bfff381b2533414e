// SPDX-License-Identifier: Apache-2.0
// What avx512.hpp and avx512vnni.hpp share; no include guard.
namespace bbcodec {
namespace {
constexpr int kVectorBytes = 64;
}
}  // namespace bbcodec
#include <immintrin.h>

#include "vectors/types.hpp"

namespace bbcodec {
namespace {

constexpr int kRegisters = 32;

inline __m512i m512(Ints v) { return reinterpret_cast<__m512i>(v); }
inline Ints ints(__m512i v) { return reinterpret_cast<Ints>(v); }

// ---- memory ----

inline Ints from_bytes(const std::uint8_t* at) {
    return ints(_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
}
inline Ints from_bytes(const std::int8_t* at) {
    return ints(_mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
}
inline void to_bytes(Ints v, std::uint8_t* at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_maskz_cvtepi32_epi8(0xffff, m512(v)));
}
constexpr int kPackedVectors = 4;
inline void pack_sixteenths(const Ints* s, std::uint8_t* to) {
    const auto part = [](Ints a, Ints b) {
        const __m512i v = _mm512_packs_epi32(m512(a), m512(b));
        return _mm512_srai_epi16(_mm512_adds_epi16(v, _mm512_set1_epi16(8)), 4);
    };
    const __m512i bytes = _mm512_packus_epi16(part(s[0], s[1]), part(s[2], s[3]));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(to, _mm512_maskz_permutexvar_epi32(0xffff, order, bytes));
}

inline Half look_up(const std::int32_t* table, Half at) {
    return reinterpret_cast<Half>(_mm256_i32gather_epi32(table, reinterpret_cast<__m256i>(at), 4));
}
inline Ints look_up(const std::int32_t* table, Ints at) {
    return ints(_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, m512(at), table, 4));
}
// Numbers of 16 bits. Reads two bytes beyond each.
inline Ints look_up(const std::int16_t* table, Ints at) {
    const __m512i two = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, m512(at), table, 2);
    return (ints(two) << 16) >> 16;
}
inline Floats look_up(const float* table, Ints at) {
    return reinterpret_cast<Floats>(look_up(reinterpret_cast<const std::int32_t*>(table), at));
}
// One gather of both. A double of 2^52 and more has integers as its lower bits.
inline void look_up(const std::array<std::int32_t, 2>* table, Half at, Doubles& first, Doubles& second) {
    const __m512i both = _mm512_mask_i32gather_epi64(_mm512_setzero_si512(), 0xff, reinterpret_cast<__m256i>(at), table, 8);
    const __m512i magic = _mm512_set1_epi64(0x4330000000000000);
    const __m512i one = _mm512_or_si512(_mm512_and_si512(both, _mm512_set1_epi64(0xffffffff)), magic);
    const __m512i two = _mm512_or_si512(_mm512_maskz_srli_epi64(0xff, both, 32), magic);
    first = reinterpret_cast<Doubles>(one) - 4503599627370496.0;
    second = reinterpret_cast<Doubles>(two) - 4503599627370496.0;
}
inline Ints pick16(const std::int32_t* table, Ints at) {
    return ints(_mm512_maskz_permutexvar_epi32(0xffff, m512(at), _mm512_loadu_si512(table)));
}
inline Floats pick32(const float* table, Ints at) {
    return reinterpret_cast<Floats>(_mm512_permutex2var_ps(_mm512_loadu_ps(table), m512(at), _mm512_loadu_ps(table + 16)));
}

// ---- arithmetic ----

inline bool any(Half v) { return !_mm256_testz_si256(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(v)); }
inline bool any(Ints v) { return any(low(v) | high(v)); }
inline Doubles whole(Doubles v) {
    return reinterpret_cast<Doubles>(
        _mm512_maskz_roundscale_pd(0xff, reinterpret_cast<__m512d>(v), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
}
inline Heads times(Heads a, Heads b) {
    const __m512i x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b);
    const __m512i upper = _mm512_maskz_mul_epu32(0xff, x, _mm512_maskz_srli_epi64(0xff, y, 32));
    return reinterpret_cast<Heads>(
        _mm512_add_epi64(_mm512_maskz_mul_epu32(0xff, x, y), _mm512_maskz_slli_epi64(0xff, upper, 32)));
}

inline bool refill(Heads& heads, std::size_t n, const std::uint32_t* words, std::size_t size, std::size_t& taken) {
    const __m512i h = reinterpret_cast<__m512i>(heads);
    const __mmask8 below = _mm512_cmplt_epu64_mask(h, _mm512_set1_epi64(std::int64_t{1} << 31)) & ((1u << n) - 1);
    const std::size_t needed = static_cast<std::size_t>(__builtin_popcount(below));
    if (needed > size - taken) return false;
    const __m512i next = _mm512_maskz_cvtepu32_epi64(0xff, _mm256_maskz_expandloadu_epi32(below, words + taken));
    heads = reinterpret_cast<Heads>(_mm512_mask_or_epi64(h, below, _mm512_maskz_slli_epi64(0xff, h, 32), next));
    taken += needed;
    return true;
}

// ---- planes ----

// These shifts may be by 64 bits.
BBCODEC_INLINE Plane funnel(Plane a, Plane b, std::uint64_t right, std::uint64_t left, Plane mask) {
    const __m512i low = _mm512_srlv_epi64(reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<long long>(right)));
    const __m512i high = _mm512_sllv_epi64(reinterpret_cast<__m512i>(b), _mm512_set1_epi64(static_cast<long long>(left)));
    return reinterpret_cast<Plane>(_mm512_ternarylogic_epi64(low, high, reinterpret_cast<__m512i>(mask), 0xa8));
}
BBCODEC_INLINE Plane majority(Plane a, Plane b, Plane c) {
    return reinterpret_cast<Plane>(_mm512_ternarylogic_epi64(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b),
                                                             reinterpret_cast<__m512i>(c), 0xe8));
}
BBCODEC_INLINE Plane full_add(Plane& total, Plane b, Plane c) {
    // The carry comes from b, c and the new sum: none of the three has to be copied first.
    const __m512i y = reinterpret_cast<__m512i>(b), z = reinterpret_cast<__m512i>(c);
    const __m512i sum = _mm512_ternarylogic_epi64(reinterpret_cast<__m512i>(total), y, z, 0x96);
    total = reinterpret_cast<Plane>(sum);
    return reinterpret_cast<Plane>(_mm512_ternarylogic_epi64(y, sum, z, 0xb2));
}
template <std::size_t At, std::size_t Scale, typename Table>
BBCODEC_INLINE Plane load_coded(const Table& table, std::size_t code) {
    // A load with the whole address in it: compilers make an instruction more of the address, or load twice.
    Plane out;
    asm("vmovdqa64 %c3(%1,%2,%c4), %0" : "=v"(out) : "r"(&table), "r"(code), "i"(At), "i"(Scale), "m"(table));
    return out;
}
BBCODEC_INLINE Eight widened(std::uint64_t word) {
    return reinterpret_cast<Eight>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(word))));
}

}  // namespace
}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Vectors of 32 bytes for AVX2; plain.hpp says what each function gives. No include guard.
namespace bbcodec {
namespace {
constexpr int kVectorBytes = 32;
}
}  // namespace bbcodec
#include <immintrin.h>

#include <type_traits>

#include "vectors/types.hpp"

namespace bbcodec {
namespace {

constexpr int kRegisters = 16;

inline __m256i m256(Ints v) { return reinterpret_cast<__m256i>(v); }
inline Ints ints(__m256i v) { return reinterpret_cast<Ints>(v); }

// ---- memory ----

// Written out: GCC 12 takes conversions between numbers of these sizes apart.
template <typename T>
inline Ints from_bytes(const T* at) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    return ints(std::is_signed_v<T> ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
}
inline void to_bytes(Ints v, std::uint8_t* at) {
    for (int l = 0; l < kChunk; ++l) at[l] = static_cast<std::uint8_t>(v[l]);
}
constexpr int kPackedVectors = 2;
inline void pack_sixteenths(const Ints* s, std::uint8_t* to) {
    __m256i v = _mm256_packs_epi32(m256(s[0]), m256(s[1]));
    v = _mm256_srai_epi16(_mm256_adds_epi16(_mm256_permute4x64_epi64(v, 0xd8), _mm256_set1_epi16(8)), 4);
    v = _mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(v));
}

inline Half look_up(const std::int32_t* table, Half at) {
    return reinterpret_cast<Half>(_mm_i32gather_epi32(table, reinterpret_cast<__m128i>(at), 4));
}
inline Ints look_up(const std::int32_t* table, Ints at) { return ints(_mm256_i32gather_epi32(table, m256(at), 4)); }
// Numbers of 16 bits. Reads two bytes beyond each.
inline Ints look_up(const std::int16_t* table, Ints at) {
    const __m256i two = _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), m256(at), 2);
    return ints(_mm256_srai_epi32(_mm256_slli_epi32(two, 16), 16));
}
inline Floats look_up(const float* table, Ints at) {
    return reinterpret_cast<Floats>(look_up(reinterpret_cast<const std::int32_t*>(table), at));
}
// One gather of both. A double of 2^52 and more has integers as its lower bits.
inline void look_up(const std::array<std::int32_t, 2>* table, Half at, Doubles& first, Doubles& second) {
    const __m256i both = _mm256_mask_i32gather_epi64(_mm256_setzero_si256(), reinterpret_cast<const long long*>(table),
                                                     reinterpret_cast<__m128i>(at), _mm256_set1_epi64x(-1), 8);
    const __m256i magic = _mm256_set1_epi64x(0x4330000000000000);
    const __m256i one = _mm256_or_si256(_mm256_and_si256(both, _mm256_set1_epi64x(0xffffffff)), magic);
    const __m256i two = _mm256_or_si256(_mm256_srli_epi64(both, 32), magic);
    first = reinterpret_cast<Doubles>(one) - 4503599627370496.0;
    second = reinterpret_cast<Doubles>(two) - 4503599627370496.0;
}
inline Ints pick16(const std::int32_t* table, Ints at) { return look_up(table, at & 15); }
inline Floats pick32(const float* table, Ints at) { return look_up(table, at & 31); }

// ---- arithmetic ----

inline bool any(Half v) { return !_mm_testz_si128(reinterpret_cast<__m128i>(v), reinterpret_cast<__m128i>(v)); }
inline bool any(Ints v) { return any(low(v) | high(v)); }
inline Doubles whole(Doubles v) {
    return reinterpret_cast<Doubles>(_mm256_round_pd(reinterpret_cast<__m256d>(v), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
}
inline Ints dot_pairs(Ints sum, Ints a, Ints b) { return sum + ints(_mm256_madd_epi16(m256(a), m256(b))); }
inline Heads times(Heads a, Heads b) { return a * b; }

constexpr bool kAnyByteWeights = false;
struct ByteProduct {
    using Weights = Ints;
    static Weights load(const std::int32_t* w) { return unaligned<Ints>(w); }
    static Ints add(Ints sum, Ints x, Ints w) {
        return ints(_mm256_add_epi16(m256(sum), _mm256_maddubs_epi16(m256(x), m256(w))));
    }
    static Ints sum(Ints v) { return dot_pairs(Ints{}, v, Ints{} + 0x00010001); }
};

inline bool refill(Heads& heads, std::size_t n, const std::uint32_t* words, std::size_t size, std::size_t& taken) {
    for (std::size_t l = 0; l < n; ++l)
        if (heads[l] < std::uint64_t{1} << 31) {
            if (taken == size) return false;
            heads[l] = heads[l] << 32 | words[taken++];
        }
    return true;
}

// ---- planes ----

// These shifts may be by 64 bits.
BBCODEC_INLINE Plane funnel(Plane a, Plane b, std::uint64_t right, std::uint64_t left, Plane mask) {
    const __m256i low = _mm256_srlv_epi64(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<long long>(right)));
    const __m256i high = _mm256_sllv_epi64(reinterpret_cast<__m256i>(b), _mm256_set1_epi64x(static_cast<long long>(left)));
    return reinterpret_cast<Plane>(_mm256_or_si256(low, high)) & mask;
}
BBCODEC_INLINE Plane majority(Plane a, Plane b, Plane c) { return a ^ ((a ^ c) & (a ^ b)); }
BBCODEC_INLINE Plane full_add(Plane& total, Plane b, Plane c) {
    const Plane differ = total ^ b;
    const Plane carry = total ^ ((total ^ c) & differ);
    total = differ ^ c;
    return carry;
}
template <std::size_t At, std::size_t Scale, typename Table>
BBCODEC_INLINE Plane load_coded(const Table& table, std::size_t code) {
    const char* from = reinterpret_cast<const char*>(&table) + code * Scale;
    asm("" : "+r"(from));  // else compilers keep the address of every pair, in more registers than there are
    return *reinterpret_cast<const Plane*>(from + At);
}
BBCODEC_INLINE Eight widened(std::uint64_t word) {
    return reinterpret_cast<Eight>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(word))));
}

}  // namespace
}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Numbers of all lanes of a chunk at once, and the small functions of docs/local.md.
// Part of pass.hpp, compiled once for each instruction set; no include guard.
#pragma GCC diagnostic ignored "-Wpsabi"  // all of these functions are inlined

namespace bbcodec::local {
namespace {

#if BBCODEC_LOCAL_TARGET > 1
constexpr int kChunk = 16;  // lanes
#elif BBCODEC_LOCAL_TARGET == 1
constexpr int kChunk = 8;
#else
constexpr int kChunk = 4;
#endif
constexpr int kHalf = kChunk / 2;

// A number of each lane, in a register.
typedef std::int32_t Ints __attribute__((vector_size(4 * kChunk), may_alias));
typedef std::uint32_t Naturals __attribute__((vector_size(4 * kChunk), may_alias));  // the same, modulo 2^32
typedef float Floats __attribute__((vector_size(4 * kChunk), may_alias));
typedef std::int16_t Pairs __attribute__((vector_size(4 * kChunk), may_alias));   // two numbers of each lane
typedef std::int16_t Shorts __attribute__((vector_size(2 * kChunk), may_alias));
// Of half the lanes.
typedef std::int32_t Half __attribute__((vector_size(4 * kHalf), may_alias));
typedef float HalfFloats __attribute__((vector_size(4 * kHalf), may_alias));
typedef double Doubles __attribute__((vector_size(8 * kHalf), may_alias));
typedef std::uint64_t Heads __attribute__((vector_size(8 * kHalf), may_alias));

// Numbers of the lanes in memory.
struct alignas(4 * kChunk) Row {
    std::int32_t v[kChunk] = {};
    Ints& all() { return *reinterpret_cast<Ints*>(v); }
    const Ints& all() const { return *reinterpret_cast<const Ints*>(v); }
};
struct alignas(2 * kChunk) ShortRow {
    std::int16_t v[kChunk] = {};
    Shorts& all() { return *reinterpret_cast<Shorts*>(v); }
    const Shorts& all() const { return *reinterpret_cast<const Shorts*>(v); }
};

template <typename V, typename T>
inline V unaligned(const T* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// Words hold small numbers side by side, the first in the lowest bits; in the memory of a big-endian machine the first is the highest.
constexpr bool kBigEndian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
// From numbers of 8 bits in memory, seen as words, to such words, or back.
inline Ints as_words(Ints bytes) {
    if constexpr (!kBigEndian) return bytes;
    const Naturals v = reinterpret_cast<Naturals>(bytes);
    return reinterpret_cast<Ints>(v << 24 | (v << 8 & 0xff0000) | (v >> 8 & 0xff00) | v >> 24);
}
// Two numbers of 16 bits in memory as such a word.
inline std::int32_t pair_at(const std::int16_t* at) {
    const std::int32_t v = unaligned<std::int32_t>(at);
    return kBigEndian ? static_cast<std::int32_t>(static_cast<std::uint32_t>(v) << 16 | static_cast<std::uint32_t>(v) >> 16) : v;
}

// Of each pair of rows D apart, exchanges the lanes that stand across; one step of a transposition.
template <int D>
inline void exchange(Ints* rows, const Ints numbers) {
    for (int i = 0; i < kChunk; ++i) {
        if (i & D) continue;
        const Ints a = rows[i], b = rows[i + D], second = (numbers & D) != 0;
        rows[i] = __builtin_shuffle(a, b, second ? numbers - D + kChunk : numbers);
        rows[i + D] = __builtin_shuffle(a, b, second ? numbers + kChunk : numbers + D);
    }
}

#if BBCODEC_LOCAL_TARGET > 1
constexpr Ints kLaneNumbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline Half low(Ints v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7); }
inline Half high(Ints v) { return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15); }
inline Ints join(Half a, Half b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
inline Ints shifted(Ints v) { return __builtin_shufflevector(v, v, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14); }
inline void transpose(Ints* rows) {
    exchange<1>(rows, kLaneNumbers), exchange<2>(rows, kLaneNumbers), exchange<4>(rows, kLaneNumbers), exchange<8>(rows, kLaneNumbers);
}
#elif BBCODEC_LOCAL_TARGET == 1
constexpr Ints kLaneNumbers = {0, 1, 2, 3, 4, 5, 6, 7};
inline Half low(Ints v) { return __builtin_shufflevector(v, v, 0, 1, 2, 3); }
inline Half high(Ints v) { return __builtin_shufflevector(v, v, 4, 5, 6, 7); }
inline Ints join(Half a, Half b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7); }
inline Ints shifted(Ints v) { return __builtin_shufflevector(v, v, 0, 0, 1, 2, 3, 4, 5, 6); }
inline void transpose(Ints* rows) { exchange<1>(rows, kLaneNumbers), exchange<2>(rows, kLaneNumbers), exchange<4>(rows, kLaneNumbers); }
#else
constexpr Ints kLaneNumbers = {0, 1, 2, 3};
inline Half low(Ints v) { return __builtin_shufflevector(v, v, 0, 1); }
inline Half high(Ints v) { return __builtin_shufflevector(v, v, 2, 3); }
inline Ints join(Half a, Half b) { return __builtin_shufflevector(a, b, 0, 1, 2, 3); }
// Each lane gets what the one before it has, the first keeps its own.
inline Ints shifted(Ints v) { return __builtin_shufflevector(v, v, 0, 0, 1, 2); }
// Rows become lanes.
inline void transpose(Ints* rows) { exchange<1>(rows, kLaneNumbers), exchange<2>(rows, kLaneNumbers); }
#endif
inline Half half(Ints v, int which) { return which ? high(v) : low(v); }
inline HalfFloats half(Floats v, int which) { return reinterpret_cast<HalfFloats>(half(reinterpret_cast<Ints>(v), which)); }

// f of each lane and of the lane that stands there in the other half.
template <typename F>
inline Ints both_halves(F f, Ints v) { return f(v, join(high(v), low(v))); }

// kChunk bytes from memory as numbers, and numbers of 0 .. 255 to bytes in memory. Written out, as GCC 12 takes conversions between
// numbers of these sizes apart.
#if BBCODEC_LOCAL_TARGET > 1
inline Ints from_bytes(const std::uint8_t* at) { return reinterpret_cast<Ints>(_mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))); }
inline Ints from_bytes(const std::int8_t* at) { return reinterpret_cast<Ints>(_mm512_maskz_cvtepi8_epi32(0xffff, _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))); }
inline void to_bytes(Ints v, std::uint8_t* at) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v))); }
#else
template <typename T>
inline Ints from_bytes(const T* at) {
#if BBCODEC_LOCAL_TARGET == 1
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    return reinterpret_cast<Ints>(std::is_signed_v<T> ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
#else
    return Ints{at[0], at[1], at[2], at[3]};
#endif
}
inline void to_bytes(Ints v, std::uint8_t* at) {
    for (int l = 0; l < kChunk; ++l) at[l] = static_cast<std::uint8_t>(v[l]);
}
#endif

inline Doubles to_doubles(Half v) { return __builtin_convertvector(v, Doubles); }
inline Doubles to_doubles(HalfFloats v) { return __builtin_convertvector(v, Doubles); }
inline Half truncated(Doubles v) { return __builtin_convertvector(v, Half); }
// v, not negative and below 2^31, without its fraction.
inline Doubles whole(Doubles v) {
#if BBCODEC_LOCAL_TARGET > 1
    return reinterpret_cast<Doubles>(_mm512_maskz_roundscale_pd(0xff, reinterpret_cast<__m512d>(v), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
#elif BBCODEC_LOCAL_TARGET == 1
    return reinterpret_cast<Doubles>(_mm256_round_pd(reinterpret_cast<__m256d>(v), _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC));
#else
    return to_doubles(truncated(v));
#endif
}

inline bool any(Half v) {
#if BBCODEC_LOCAL_TARGET > 1
    return !_mm256_testz_si256(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(v));
#elif BBCODEC_LOCAL_TARGET == 1
    return !_mm_testz_si128(reinterpret_cast<__m128i>(v), reinterpret_cast<__m128i>(v));
#else
    return (v[0] | v[1]) != 0;
#endif
}
inline bool any(Ints v) { return any(low(v) | high(v)); }

// table[at] of each lane.
inline Half look_up(const std::int32_t* table, Half at) {
#if BBCODEC_LOCAL_TARGET > 1
    return reinterpret_cast<Half>(_mm256_i32gather_epi32(table, reinterpret_cast<__m256i>(at), 4));
#elif BBCODEC_LOCAL_TARGET == 1
    return reinterpret_cast<Half>(_mm_i32gather_epi32(table, reinterpret_cast<__m128i>(at), 4));
#else
    return Half{table[at[0]], table[at[1]]};
#endif
}
inline Ints look_up(const std::int32_t* table, Ints at) {
#if BBCODEC_LOCAL_TARGET > 1
    // With a mask: GCC 12 warns about the plain form in its own header (GCC bug 105593).
    return reinterpret_cast<Ints>(_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, reinterpret_cast<__m512i>(at), table, 4));
#elif BBCODEC_LOCAL_TARGET == 1
    return reinterpret_cast<Ints>(_mm256_i32gather_epi32(table, reinterpret_cast<__m256i>(at), 4));
#else
    return Ints{table[at[0]], table[at[1]], table[at[2]], table[at[3]]};
#endif
}
inline Floats look_up(const float* table, Ints at) { return reinterpret_cast<Floats>(look_up(reinterpret_cast<const std::int32_t*>(table), at)); }
// The two numbers of table[at], not negative.
inline void look_up(const std::array<std::int32_t, 2>* table, Half at, Doubles& first, Doubles& second) {
#if BBCODEC_LOCAL_TARGET > 0
    // One gather of both. A double of 2^52 and more has integers as its lower bits.
#if BBCODEC_LOCAL_TARGET > 1
    const __m512i both = _mm512_mask_i32gather_epi64(_mm512_setzero_si512(), 0xff, reinterpret_cast<__m256i>(at), table, 8);
    const __m512i magic = _mm512_set1_epi64(0x4330000000000000);
    const __m512i one = _mm512_or_si512(_mm512_and_si512(both, _mm512_set1_epi64(0xffffffff)), magic);
    const __m512i two = _mm512_or_si512(_mm512_maskz_srli_epi64(0xff, both, 32), magic);
#else
    const __m256i both = _mm256_mask_i32gather_epi64(_mm256_setzero_si256(), reinterpret_cast<const long long*>(table), reinterpret_cast<__m128i>(at),
                                                     _mm256_set1_epi64x(-1), 8);
    const __m256i magic = _mm256_set1_epi64x(0x4330000000000000);
    const __m256i one = _mm256_or_si256(_mm256_and_si256(both, _mm256_set1_epi64x(0xffffffff)), magic);
    const __m256i two = _mm256_or_si256(_mm256_srli_epi64(both, 32), magic);
#endif
    first = reinterpret_cast<Doubles>(one) - 4503599627370496.0;
    second = reinterpret_cast<Doubles>(two) - 4503599627370496.0;
#else
    for (int l = 0; l < kHalf; ++l) first[l] = table[at[l]][0], second[l] = table[at[l]][1];
#endif
}
// table[at] of each lane, where the table has 16 or 32 numbers; of `at` no more counts than they need.
inline Ints pick16(const std::int32_t* table, Ints at) {
#if BBCODEC_LOCAL_TARGET > 1
    return reinterpret_cast<Ints>(_mm512_maskz_permutexvar_epi32(0xffff, reinterpret_cast<__m512i>(at), _mm512_loadu_si512(table)));
#else
    return look_up(table, at & 15);
#endif
}
inline Floats pick(const float* table, Ints at) {
#if BBCODEC_LOCAL_TARGET > 1
    return reinterpret_cast<Floats>(_mm512_permutex2var_ps(_mm512_loadu_ps(table), reinterpret_cast<__m512i>(at), _mm512_loadu_ps(table + 16)));
#else
    return look_up(table, at & 31);
#endif
}

// Sum of the products of pairs of 16-bit numbers, with `sum`.
inline Ints dot_pairs(Ints sum, Ints a, Ints b) {
#if BBCODEC_LOCAL_TARGET == 3
    return reinterpret_cast<Ints>(_mm512_dpwssd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif BBCODEC_LOCAL_TARGET == 2
    return sum + reinterpret_cast<Ints>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif BBCODEC_LOCAL_TARGET == 1
    return sum + reinterpret_cast<Ints>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif BBCODEC_X86
    return sum + reinterpret_cast<Ints>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
    return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}
// Products of pairs of 16-bit numbers, each by itself, modulo 2^16.
inline Ints times_pairs(Ints a, Ints b) { return reinterpret_cast<Ints>(reinterpret_cast<Pairs>(a) * reinterpret_cast<Pairs>(b)); }

// a b, where a is below 2^32, modulo 2^64.
inline Heads times(Heads a, Heads b) {
#if BBCODEC_LOCAL_TARGET > 1
    const __m512i x = reinterpret_cast<__m512i>(a), y = reinterpret_cast<__m512i>(b);
    const __m512i upper = _mm512_maskz_mul_epu32(0xff, x, _mm512_maskz_srli_epi64(0xff, y, 32));
    return reinterpret_cast<Heads>(_mm512_add_epi64(_mm512_maskz_mul_epu32(0xff, x, y), _mm512_maskz_slli_epi64(0xff, upper, 32)));
#else
    return a * b;
#endif
}

// Calls f(size, from) for parts of n: as many of the first size as there is room for, then of the second, ...
template <int Size, int... Smaller, typename F>
inline void in_parts(int n, F f, int from = 0) {
    for (; from + Size <= n; from += Size) f(std::integral_constant<int, Size>(), from);
    if constexpr (sizeof...(Smaller) > 0) in_parts<Smaller...>(n, f, from);
}

template <typename V>
inline V least(V a, V b) { return a < b ? a : b; }
template <typename V>
inline V most(V a, V b) { return a > b ? a : b; }
inline Ints clamp(Ints v, int low, int high) { return least(most(v, Ints{} + low), Ints{} + high); }
inline Half clamp(Half v, Half low, Half high) { return least(most(v, low), high); }
inline Ints magnitude(Ints v) { return most(v, -v); }
inline Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7fffffff); }
// v, not negative, with the sign of another number.
inline Floats with_sign_of(Floats v, Floats of) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) | (reinterpret_cast<Ints>(of) & (1 << 31))); }

// 1 to 2^24 - 1: such a number is a float exactly, whose exponent and upper bits say it all.
inline Ints quarter_log(Ints v) { return (reinterpret_cast<Ints>(__builtin_convertvector(v, Floats)) >> 21) - 4 * 127; }
// |v| is at most 2^14 and r below 2^16.
inline Ints normed(Ints v, Ints r) { return clamp((v * r + 8192) >> 14, -127, 127); }
inline Ints clamp8(Ints v) { return clamp(v, -127, 127); }

// v without its share of 2^-Shift, that rounded.
template <int Shift>
inline Ints decay(Ints v) {
    return v - ((v + (1 << Shift >> 1)) >> Shift);
}

}  // namespace
}  // namespace bbcodec::local

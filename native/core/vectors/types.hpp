// SPDX-License-Identifier: Apache-2.0
// Vectors of kVectorBytes bytes, and what needs no instruction of its own: types, shuffles, conversions, comparisons.
//
// Each header beside this one is a target. It defines kVectorBytes, includes this file, and adds the functions that
// the target has instructions for; all targets define the same ones. A file that is compiled for a target includes
// that target's header first. Everything has internal linkage: the linker never mixes the code of two targets.
// No include guard.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "compiler.hpp"

namespace bbcodec {
namespace {

constexpr int kChunk = kVectorBytes / 4;  // lanes: numbers of 32 bits
constexpr int kHalf = kChunk / 2;

// A number of each lane.
typedef std::int32_t Ints __attribute__((vector_size(kVectorBytes), may_alias));
typedef std::uint32_t Naturals __attribute__((vector_size(kVectorBytes), may_alias));  // modulo 2^32
typedef float Floats __attribute__((vector_size(kVectorBytes), may_alias));
typedef std::int16_t Pairs __attribute__((vector_size(kVectorBytes), may_alias));  // two numbers of each lane
typedef std::int16_t Shorts __attribute__((vector_size(kVectorBytes / 2), may_alias));
// A number of half the lanes.
typedef std::int32_t Half __attribute__((vector_size(kVectorBytes / 2), may_alias));
typedef float HalfFloats __attribute__((vector_size(kVectorBytes / 2), may_alias));
typedef double Doubles __attribute__((vector_size(kVectorBytes), may_alias));
typedef std::uint64_t Heads __attribute__((vector_size(kVectorBytes), may_alias));
// Bits of a vector, one after the other.
typedef std::uint64_t Plane __attribute__((vector_size(kVectorBytes), may_alias));
// Eight numbers, whatever the target.
typedef std::int32_t Eight __attribute__((vector_size(32)));

// Numbers of the lanes in memory.
struct alignas(kVectorBytes) Row {
    std::int32_t v[kChunk] = {};
    Ints& all() { return *reinterpret_cast<Ints*>(v); }
    const Ints& all() const { return *reinterpret_cast<const Ints*>(v); }
};
struct alignas(kVectorBytes / 2) ShortRow {
    std::int16_t v[kChunk] = {};
    Shorts& all() { return *reinterpret_cast<Shorts*>(v); }
    const Shorts& all() const { return *reinterpret_cast<const Shorts*>(v); }
};

template <typename V, typename T>
BBCODEC_INLINE V unaligned(const T* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

// A word holds small numbers side by side, the first in its lowest bits. In the memory of a big-endian machine the
// first is in the highest bits.
constexpr bool kBigEndian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
// Turns bytes in memory, read as words, into such words, or back.
inline Ints as_words(Ints bytes) {
    if constexpr (!kBigEndian) return bytes;
    const Naturals v = reinterpret_cast<Naturals>(bytes);
    return reinterpret_cast<Ints>(v << 24 | (v << 8 & 0xff0000) | (v >> 8 & 0xff00) | v >> 24);
}
// Returns two int16 in memory as such a word.
inline std::int32_t pair_at(const std::int16_t* at) {
    const std::int32_t v = unaligned<std::int32_t>(at);
    return kBigEndian ? static_cast<std::int32_t>(static_cast<std::uint32_t>(v) << 16 | static_cast<std::uint32_t>(v) >> 16) : v;
}

// ---- shuffles with constant indices ----

using Lane = std::make_integer_sequence<int, kChunk>;
using HalfLane = std::make_integer_sequence<int, kHalf>;

template <int... I>
constexpr Ints numbered(std::integer_sequence<int, I...>) {
    return Ints{I...};
}
constexpr Ints kLaneNumbers = numbered(Lane());

template <int... I>
BBCODEC_INLINE Half low(Ints v, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(v, v, I...);
}
template <int... I>
BBCODEC_INLINE Half high(Ints v, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(v, v, (kHalf + I)...);
}
template <int... I>
BBCODEC_INLINE Ints join(Half a, Half b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, I...);
}
template <int... I>
BBCODEC_INLINE Ints shifted(Ints v, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(v, v, (I > 0 ? I - 1 : 0)...);
}
inline Half low(Ints v) { return low(v, HalfLane()); }
inline Half high(Ints v) { return high(v, HalfLane()); }
inline Ints join(Half a, Half b) { return join(a, b, Lane()); }
// Each lane gets what the lane before it has; the first keeps its own.
inline Ints shifted(Ints v) { return shifted(v, Lane()); }
inline Half half(Ints v, int which) { return which ? high(v) : low(v); }
inline HalfFloats half(Floats v, int which) { return reinterpret_cast<HalfFloats>(half(reinterpret_cast<Ints>(v), which)); }

// Exchanges the lanes that stand across in rows D apart: one step of a transposition.
template <int D, int... I>
BBCODEC_INLINE void exchange(Ints& a, Ints& b, std::integer_sequence<int, I...>) {
    const Ints first = __builtin_shufflevector(a, b, (I & D ? I - D + kChunk : I)...);
    b = __builtin_shufflevector(a, b, (I & D ? I + kChunk : I + D)...);
    a = first;
}
// Rows become lanes.
template <int D = 1>
inline void transpose(Ints* rows) {
    for (int i = 0; i < kChunk; ++i)
        if (!(i & D)) exchange<D>(rows[i], rows[i + D], Lane());
    if constexpr (2 * D < kChunk) transpose<2 * D>(rows);
}

// Calls f(v, the other half): each lane and the lane that stands there in the other half.
template <typename F>
inline Ints both_halves(F f, Ints v) {
    return f(v, join(high(v), low(v)));
}

// ---- conversions and comparisons ----

inline Doubles to_doubles(Half v) { return __builtin_convertvector(v, Doubles); }
inline Doubles to_doubles(HalfFloats v) { return __builtin_convertvector(v, Doubles); }
inline Half truncated(Doubles v) { return __builtin_convertvector(v, Half); }

template <typename V>
inline V least(V a, V b) {
    return a < b ? a : b;
}
template <typename V>
inline V most(V a, V b) {
    return a > b ? a : b;
}
inline Ints clamp(Ints v, int low, int high) { return least(most(v, Ints{} + low), Ints{} + high); }
inline Half clamp(Half v, Half low, Half high) { return least(most(v, low), high); }
inline Ints magnitude(Ints v) { return most(v, -v); }
inline Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7fffffff); }
// Returns v, which is not negative, with the sign of another number.
inline Floats with_sign_of(Floats v, Floats of) {
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) | (reinterpret_cast<Ints>(of) & (1 << 31)));
}

// Products of pairs of int16, each by itself, modulo 2^16.
inline Ints times_pairs(Ints a, Ints b) {
    return reinterpret_cast<Ints>(reinterpret_cast<Pairs>(a) * reinterpret_cast<Pairs>(b));
}

BBCODEC_INLINE Plane filled(std::uint64_t word) { return Plane{} + word; }

}  // namespace
}  // namespace bbcodec

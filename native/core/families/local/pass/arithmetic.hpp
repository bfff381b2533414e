// SPDX-License-Identifier: Apache-2.0
// The small functions of docs/local.md, for all lanes of a chunk.
// Part of chunk_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// v is 1 to 2^24 - 1: such a number is a float exactly, whose exponent and upper bits say it all.
inline Ints quarter_log(Ints v) { return (reinterpret_cast<Ints>(__builtin_convertvector(v, Floats)) >> 21) - 4 * 127; }
// |v| is at most 2^14, and r is below 2^16.
inline Ints normed(Ints v, Ints r) { return clamp((v * r + 8192) >> 14, -127, 127); }
inline Ints clamp8(Ints v) { return clamp(v, -127, 127); }

// Returns v less 2^-Shift of it, which is rounded.
template <int Shift>
inline Ints decay(Ints v) {
    return v - ((v + (1 << Shift >> 1)) >> Shift);
}

// Calls f(size, from) for parts of n: as many of the first size as there is room for, then of the second, and so on.
template <int Size, int... Smaller, typename F>
inline void in_parts(int n, F f, int from = 0) {
    for (; from + Size <= n; from += Size) f(std::integral_constant<int, Size>(), from);
    if constexpr (sizeof...(Smaller) > 0) in_parts<Smaller...>(n, f, from);
}

}  // namespace
}  // namespace bbcodec::local

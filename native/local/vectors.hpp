// SPDX-License-Identifier: Apache-2.0
// Eight or sixteen numbers at once, and the small functions of docs/local.md.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// Eight or sixteen numbers at once, as wide registers or several narrow ones.
typedef std::int32_t Int8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Float8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float Float16 __attribute__((vector_size(64), may_alias));
static_assert(kPad == 8);

inline Int8& int8_at(std::int32_t* p) { return *reinterpret_cast<Int8*>(p); }
inline const Int8& int8_at(const std::int32_t* p) { return *reinterpret_cast<const Int8*>(p); }

inline int quarter_log(int v) {
    const int b = 31 - __builtin_clz(static_cast<unsigned>(v));
    return 4 * b + ((v >> (b - 2)) & 3);
}
inline int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }
// |v| is at most 2^14 and r below 2^16.
inline int normed(int v, int r) { return clamp((v * r + 8192) >> 14, -127, 127); }
inline int clamp8(int v) { return clamp(v, -127, 127); }

// v without its share of 2^-Shift, that rounded.
template <int Shift>
inline Int8 decay(Int8 v) {
    return v - ((v + (1 << Shift >> 1)) >> Shift);
}

}  // namespace
}  // namespace bbcodec::local

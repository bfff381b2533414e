// SPDX-License-Identifier: Apache-2.0
// Eight integers or doubles at once, and the small functions of docs/local.md.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// Eight numbers at once, as wide registers or several narrow ones.
typedef std::int32_t Int8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double Double8 __attribute__((vector_size(64), aligned(8), may_alias));
static_assert(kPad == 8);

inline Int8& int8_at(std::int32_t* p) { return *reinterpret_cast<Int8*>(p); }
inline const Int8& int8_at(const std::int32_t* p) { return *reinterpret_cast<const Int8*>(p); }
inline Double8& double8_at(double* p) { return *reinterpret_cast<Double8*>(p); }
inline const Double8& double8_at(const double* p) { return *reinterpret_cast<const Double8*>(p); }

inline int quarter_log(int v) {
    const int b = 31 - __builtin_clz(static_cast<unsigned>(v));
    return 4 * b + ((v >> (b - 2)) & 3);
}
inline int clamp(int v, int low, int high) { return v < low ? low : v > high ? high : v; }
inline int normed(int v, int r) {
    return clamp(static_cast<int>((static_cast<std::int64_t>(v) * r + 8192) >> 14), -127, 127);
}
inline int clamp8(int v) { return clamp(v, -127, 127); }

// v - ((v l + 16) >> 5) without leaving 32 bits. `Shift` says that l = 2^(5 - Shift); 0 stands for any l.
template <int Shift>
inline Int8 decay(Int8 v, std::int32_t l) {
    if constexpr (Shift > 0) return v - ((v + (1 << Shift >> 1)) >> Shift);
    return v - ((v >> 5) * l + (((v & 31) * l + 16) >> 5));
}

}  // namespace
}  // namespace bbcodec::local

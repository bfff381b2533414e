// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 bytes for x86-64, all of which have SSE2: the portable ones with one instruction that compilers do not
// find. No include guard.
namespace bbcodec {
namespace {
constexpr int kVectorBytes = 16;
}
}  // namespace bbcodec
#include <emmintrin.h>

#include "vectors/types.hpp"

namespace bbcodec {
namespace {

// Returns `sum` plus the products of pairs of int16: two products a lane.
inline Ints dot_pairs(Ints sum, Ints a, Ints b) {
    return sum + reinterpret_cast<Ints>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}

}  // namespace
}  // namespace bbcodec
#include "vectors/plain.hpp"

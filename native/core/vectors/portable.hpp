// SPDX-License-Identifier: Apache-2.0
// Vectors of 16 bytes for any CPU; no include guard.
namespace bbcodec {
namespace {
constexpr int kVectorBytes = 16;
}
}  // namespace bbcodec
#include "vectors/types.hpp"

namespace bbcodec {
namespace {

// Returns `sum` plus the products of pairs of int16: two products a lane.
inline Ints dot_pairs(Ints sum, Ints a, Ints b) { return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16); }

}  // namespace
}  // namespace bbcodec
#include "vectors/plain.hpp"

// SPDX-License-Identifier: Apache-2.0
// Products of two streams: the Mul of the graph.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bbcodec {

constexpr int kMaxMulShift = 15;

// out = clamp((x * y + 2^(shift - 1)) >> shift, lo, hi) for `size` numbers, with 1 <= shift <= kMaxMulShift and lo <= hi
// inside of int16.  |x * y| <= 2^30, so 32 bits hold the sum.
void multiply(const std::int16_t* x, const std::int16_t* y, std::size_t size, int shift, int lo, int hi,
              std::int16_t* out);

}  // namespace bbcodec

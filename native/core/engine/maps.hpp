// SPDX-License-Identifier: Apache-2.0
// Operations on streams that need no instructions of their own: table look-ups, and blocks of pixels to channels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bbcodec {

// out = table[clamp(x + offset, 0, last)].
void look_up(const std::int16_t* x, std::size_t size, const std::int16_t* table, int last, int offset, std::int16_t* out);

// Moves 2 x 2 pixels of `channels` numbers to one pixel of 4 `channels` numbers, or back. `height` and `width` count the
// pixels with many channels.
void space_to_depth(const std::int16_t* x, std::size_t n, std::size_t height, std::size_t width, std::size_t channels,
                    std::int16_t* out);
void depth_to_space(const std::int16_t* x, std::size_t n, std::size_t height, std::size_t width, std::size_t channels,
                    std::int16_t* out);

}  // namespace bbcodec

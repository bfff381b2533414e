// SPDX-License-Identifier: Apache-2.0
#include "engine/maps.hpp"

#include <algorithm>
#include <cstring>

namespace bbcodec {
namespace {

// A pixel with many channels is two runs of 2 `channels` numbers.
template <bool ToDepth>
void shuffle(const std::int16_t* x, std::size_t n, std::size_t height, std::size_t width, std::size_t channels,
             std::int16_t* out) {
    const std::size_t run = 2 * channels;
    for (std::size_t y = 0; y < n * height; ++y)
        for (std::size_t column = 0; column < width; ++column)
            for (std::size_t dy = 0; dy < 2; ++dy) {
                const std::size_t deep = ((y * width + column) * 2 + dy) * run;
                const std::size_t flat = ((2 * y + dy) * width + column) * run;
                std::memcpy(out + (ToDepth ? deep : flat), x + (ToDepth ? flat : deep), run * sizeof(std::int16_t));
            }
}

}  // namespace

void look_up(const std::int16_t* x, std::size_t size, const std::int16_t* table, int last, int offset, std::int16_t* out) {
    for (std::size_t i = 0; i < size; ++i) out[i] = table[std::clamp(x[i] + offset, 0, last)];
}

void space_to_depth(const std::int16_t* x, std::size_t n, std::size_t height, std::size_t width, std::size_t channels,
                    std::int16_t* out) {
    shuffle<true>(x, n, height, width, channels, out);
}

void depth_to_space(const std::int16_t* x, std::size_t n, std::size_t height, std::size_t width, std::size_t channels,
                    std::int16_t* out) {
    shuffle<false>(x, n, height, width, channels, out);
}

}  // namespace bbcodec

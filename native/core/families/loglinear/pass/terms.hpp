// SPDX-License-Identifier: Apache-2.0
// What contexts are made of: facts about the neighbours of a sample (docs/loglinear.md, "Terms").
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

constexpr int kNear = 6;  // neighbours: W, N, NW, NE, WW, NN
constexpr int kOutside = 128;

// A block, while it is coded: samples are read where they are known.
struct Picture {
    const std::uint8_t* samples;  // [height][width][channels]
    int width, channels;
    int sample(std::int32_t pixel, int c) const {
        return samples[static_cast<std::size_t>(pixel) * channels + (channels == 3 ? local::kCodingOrder[c] : 0)];
    }
};

// The pixel at (x + dx, y + dy), moved into the block; -1 for the first pixel.
inline std::int32_t moved(int x, int y, int dx, int dy, int width) {
    int xx = x + dx, yy = y + dy;
    if (yy < 0) xx = y > 0 ? smaller(xx, x + 2) : x - 1, yy = 0;
    if (xx < 0) {
        if (yy == y && x == 0) --yy;
        xx = 0;
    }
    if (xx >= width) xx = width - 1;
    return yy < 0 ? -1 : yy * width + xx;
}

inline void near_pixels(int x, int y, int width, std::int32_t* near) {
    const std::int32_t pixel = y * width + x;
    if (x >= 2 && y >= 2 && x + 1 < width) {
        near[0] = pixel - 1, near[1] = pixel - width, near[2] = pixel - width - 1, near[3] = pixel - width + 1;
        near[4] = pixel - 2, near[5] = pixel - 2 * width;
    } else {
        for (int i = 0; i < kNear; ++i) near[i] = moved(x, y, local::kDx[i], local::kDy[i], width);
    }
}

// Fills terms [kTerms] for channel c of pixel (x, y). mean: the prediction in 1/64 of a level.
inline void set_terms(const Picture& picture, int c, int x, int y, int mean, int spread, std::int32_t* terms) {
    std::int32_t near[kNear];
    near_pixels(x, y, picture.width, near);
    const std::int32_t pixel = y * picture.width + x;
    const bool alone = near[0] < 0;
    const auto at = [&](int i, int channel) { return alone ? kOutside : picture.sample(near[i], channel); };
    std::int32_t own[kNear], first[kNear], gap[kNear];
    for (int i = 0; i < kNear; ++i) own[i] = at(i, c), first[i] = c ? at(i, 0) : 0, gap[i] = own[i] - first[i];
    const std::int32_t a = c ? picture.sample(pixel, 0) : 0, b = c == 2 ? picture.sample(pixel, 1) : 0;
    const std::int32_t b_w = c == 2 ? at(0, 1) : 0, b_n = c == 2 ? at(1, 1) : 0;
    const auto colour = [&](int i) {
        std::int32_t v = 0;
        for (int k = 0; k < picture.channels; ++k) v = v << 8 | at(i, k);
        return v;
    };
    const std::int32_t centre = clamp1((mean + 32) >> 6, 0, 255);
    std::int32_t alike = (own[0] == own[1]) | (own[0] == own[2]) << 1 | (own[1] == own[2]) << 2 | (own[1] == own[3]) << 3 |
                         (own[4] == own[0]) << 4 | (own[5] == own[1]) << 5;
    if (c) alike |= (a == first[0]) << 6 | (a == first[1]) << 7 | (a == first[2]) << 8 | (a == first[3]) << 9;
    if (c == 2) alike |= (b == b_w) << 10 | (b == b_n) << 11;
    std::int32_t* to = terms;
    *to++ = 0;
    for (int i = 0; i < kNear; ++i) *to++ = own[i];
    for (int i = 0; i < kNear; ++i) *to++ = gap[i];
    *to++ = a;                                  // 13
    *to++ = c ? a - first[0] : 0;               // 14
    *to++ = c ? a - first[1] : 0;               // 15
    *to++ = c == 2 ? b - a : 0;                 // 16
    *to++ = c == 2 ? b_w - first[0] : 0;        // 17
    *to++ = c == 2 ? b_n - first[1] : 0;        // 18
    *to++ = c == 2 ? b - b_w : 0;               // 19
    *to++ = c == 2 ? b - b_n : 0;               // 20
    *to++ = a | b << 8;                         // 21
    for (int i = 0; i < 4; ++i) *to++ = colour(i);  // 22 to 25
    *to++ = (y & 1) << 1 | (x & 1);             // 26
    *to++ = (y & 7) << 3 | (x & 7);             // 27
    *to++ = alike;                              // 28
    *to++ = centre - a;                         // 29
    *to++ = own[0] + own[1] - own[2];           // 30
    *to++ = spread;                             // 31
    *to++ = centre;                             // 32
}

}  // namespace
}  // namespace bbcodec::loglinear

// SPDX-License-Identifier: Apache-2.0
// The inner kernels of the engine: what each computes, and the table of a target.
//
// Convolutions are done in tiles of kPixels output pixels by all output channels. A tile gets one pointer per pixel, to the
// top left of its receptive field, and a list of offsets of the words it reads, the same for all pixels. Padding is already
// part of the input. Weights lie in blocks of output channels, so that one vector register holds one word of input for a
// whole block of outputs. All targets share these layouts, and a forced target may change between two calls.
//
// Every kernel has the portable one as its reference; tests compare all of them with the NumPy reference.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bbcodec {

constexpr std::size_t kPixels = 8;     // pixels per tile
constexpr std::size_t kBitBlock = 8;   // outputs per block of bit weights: 8 words fill 512 bits
constexpr std::size_t kIntBlock = 16;  // outputs per block of integer weights: 16 pairs of int16, or quads of int8, fill 512 bits
constexpr std::size_t kAccStep = 64;   // numbers: the row stride of a tile's accumulators is a multiple of this
constexpr int kMaxMulShift = 15;       // bits

// acc[p * stride + o] = bias - 2 * popcount(x[p][offsets[j]] ^ weights[(o / 8) * words + j][o % 8]) summed over j.
struct BitTile {
    const std::uint64_t* x[kPixels];
    const std::ptrdiff_t* offsets;
    std::size_t words;
    const std::uint64_t* weights;
    std::size_t blocks;
    std::int32_t bias;
    std::int32_t* acc;
    std::size_t stride;
};

// acc[p * stride + o] = sum over j and i < 2 of x[p][offsets[j] + i] * weights[(o / 16) * pairs + j][o % 16][i],
// modulo 2^32 (the static check proves that nothing wraps).
struct IntTile {
    const std::int16_t* x[kPixels];
    const std::ptrdiff_t* offsets;
    std::size_t pairs;
    const std::int16_t* weights;
    std::size_t blocks;
    std::int32_t* acc;
    std::size_t stride;
};

// acc[p * stride + o] = start[o] + sum over j and i < 4 of x[p][offsets[j] + i] * weights[(o / 16) * quads + j][o % 16][i],
// modulo 2^32.
struct ByteTile {
    const std::uint8_t* x[kPixels];
    const std::ptrdiff_t* offsets;
    std::size_t quads;
    const std::int8_t* weights;
    std::size_t blocks;
    const std::int32_t* start;
    std::int32_t* acc;
    std::size_t stride;
};

// y = clamp((acc * mul + add) >> shift, lo, hi); add includes the rounding term.  |acc * mul + add| < 2^63.
struct ScaleParams {
    const std::int32_t* mul;
    const std::int64_t* add;
    std::size_t channels;
    int shift;
    std::int16_t lo;
    std::int16_t hi;
};

// bit = (acc < limit) xor flip.  Limits are padded to a multiple of 64 with INT32_MIN, which nothing is below.
struct ThresholdParams {
    const std::int32_t* limits;
    const std::uint64_t* flips;
    std::size_t words;
};

// y = clamp((product + 2^(shift - 1)) >> shift, lo, hi), lo <= hi inside of int16.
struct MulParams {
    int shift;
    int lo;
    int hi;
};

struct SlicedJob;

// The kernels of a target; core/select_kernels.cpp has the tables.
struct Kernels {
    void (*bit_tile)(const BitTile&);
    void (*int_tile)(const IntTile&);
    void (*byte_tile)(const ByteTile&);  // nullptr where it would not be faster than int_tile
    // `rows` rows of accumulators, `stride` apart; the output rows are dense.
    void (*scale)(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ScaleParams&, std::int16_t* out);
    void (*threshold)(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ThresholdParams&, std::uint64_t* out);
    // out = clamp(x + y, lo, hi).
    void (*add)(const std::int16_t* x, const std::int16_t* y, std::size_t size, std::int16_t lo, std::int16_t hi,
                std::int16_t* out);
    // out = clamp((x * y + 2^(shift - 1)) >> shift, lo, hi), 1 <= shift <= kMaxMulShift.  |x * y| <= 2^30: 32 bits hold the sum.
    void (*multiply)(const std::int16_t* x, const std::int16_t* y, std::size_t size, const MulParams&, std::int16_t* out);
    // Signs of x + threshold[c] in `rows` dense rows of `channels` numbers, each row padded to whole words with 0.
    void (*sign)(const std::int16_t* x, const std::int16_t* threshold, std::size_t rows, std::size_t channels,
                 std::uint64_t* out);
    // Whole bit convolutions by planes of `lanes` pixels each (engine/sliced.hpp). `sliced_gain` is about how many times
    // as fast as bit_tile that is at best, less a margin.
    std::size_t lanes;
    double sliced_gain;
    void (*sliced)(const SlicedJob&);
};

// Declares the kernels of a target, of which it defines those that its tables name.
#define BBCODEC_DECLARE_KERNELS                                                                                 \
    void bit_tile(const BitTile&);                                                                              \
    void int_tile(const IntTile&);                                                                              \
    void byte_tile(const ByteTile&);                                                                            \
    void scale(const std::int32_t*, std::size_t, std::size_t, const ScaleParams&, std::int16_t*);               \
    void threshold(const std::int32_t*, std::size_t, std::size_t, const ThresholdParams&, std::uint64_t*);      \
    void add(const std::int16_t*, const std::int16_t*, std::size_t, std::int16_t, std::int16_t, std::int16_t*); \
    void multiply(const std::int16_t*, const std::int16_t*, std::size_t, const MulParams&, std::int16_t*);      \
    void sign(const std::int16_t*, const std::int16_t*, std::size_t, std::size_t, std::uint64_t*);              \
    void sliced(const SlicedJob&);

namespace portable {
BBCODEC_DECLARE_KERNELS
}
namespace avx2 {
BBCODEC_DECLARE_KERNELS
}
namespace avx512 {
BBCODEC_DECLARE_KERNELS
}

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// AVX-512 kernels with sums of products (VNNI); kernels.hpp says what each computes, and portable.cpp says it as code.
#include <immintrin.h>

#include <cstring>

#include "compiler.hpp"
#include "engine/kernels/kernels.hpp"

namespace bbcodec::avx512 {
namespace {

// The product of four bytes each, or of two int16 each, and the sum in one, without saturation.
struct Bytes {
    typedef std::int8_t Weight;
    static constexpr std::size_t kInputs = 4;
    static inline __m512i add(__m512i sum, __m512i x, __m512i w) { return _mm512_dpbusd_epi32(sum, x, w); }
};
struct Shorts {
    typedef std::int16_t Weight;
    static constexpr std::size_t kInputs = 2;
    static inline __m512i add(__m512i sum, __m512i x, __m512i w) { return _mm512_dpwssd_epi32(sum, x, w); }
};

// B blocks of 16 outputs by 8 pixels; 32 bits of each input (`steps` of them) meet 32 bits of weights of every output.
// `start` may be nullptr.
template <typename Numbers, std::size_t B, typename Tile>
inline void number_blocks(const Tile& tile, std::size_t steps, const std::int32_t* start, std::size_t block) {
    // Named, as arrays of pointers are not kept in registers.
    const auto* const x0 = tile.x[0];
    const auto* const x1 = tile.x[1];
    const auto* const x2 = tile.x[2];
    const auto* const x3 = tile.x[3];
    const auto* const x4 = tile.x[4];
    const auto* const x5 = tile.x[5];
    const auto* const x6 = tile.x[6];
    const auto* const x7 = tile.x[7];
    const std::size_t size = steps * kIntBlock * Numbers::kInputs;
    const typename Numbers::Weight* weights = tile.weights + block * size;
    __m512i sums[B][kPixels];
    BBCODEC_UNROLL(3)
    for (std::size_t b = 0; b < B; ++b) {
        const __m512i first = start == nullptr ? _mm512_setzero_si512() : _mm512_loadu_si512(start + (block + b) * kIntBlock);
        BBCODEC_UNROLL(8)
        for (std::size_t p = 0; p < kPixels; ++p) sums[b][p] = first;
    }
    for (std::size_t j = 0; j < steps; ++j, weights += kIntBlock * Numbers::kInputs) {
        const std::ptrdiff_t at = tile.offsets[j];
        const void* const from[kPixels] = {x0 + at, x1 + at, x2 + at, x3 + at, x4 + at, x5 + at, x6 + at, x7 + at};
        __m512i w[B];
        BBCODEC_UNROLL(3)
        for (std::size_t b = 0; b < B; ++b) w[b] = _mm512_loadu_si512(weights + b * size);
        BBCODEC_UNROLL(8)
        for (std::size_t p = 0; p < kPixels; ++p) {
            std::int32_t word;
            std::memcpy(&word, from[p], sizeof word);
            const __m512i x = _mm512_set1_epi32(word);
            BBCODEC_UNROLL(3)
            for (std::size_t b = 0; b < B; ++b) sums[b][p] = Numbers::add(sums[b][p], x, w[b]);
        }
    }
    BBCODEC_UNROLL(3)
    for (std::size_t b = 0; b < B; ++b) BBCODEC_UNROLL(8)
    for (std::size_t p = 0; p < kPixels; ++p)
        _mm512_storeu_si512(tile.acc + p * tile.stride + (block + b) * kIntBlock, sums[b][p]);
}

// Three blocks at a time have the fewest loads; a last one by itself the most.
template <typename Numbers, typename Tile>
inline void number_tile(const Tile& tile, std::size_t steps, const std::int32_t* start) {
    for (std::size_t block = 0; block < tile.blocks;) {
        const std::size_t left = tile.blocks - block;
        if (left == 3 || left >= 5) {
            number_blocks<Numbers, 3>(tile, steps, start, block);
            block += 3;
        } else if (left >= 2) {
            number_blocks<Numbers, 2>(tile, steps, start, block);
            block += 2;
        } else {
            number_blocks<Numbers, 1>(tile, steps, start, block);
            block += 1;
        }
    }
}

}  // namespace

void int_tile(const IntTile& tile) { number_tile<Shorts>(tile, tile.pairs, nullptr); }
void byte_tile(const ByteTile& tile) { number_tile<Bytes>(tile, tile.quads, tile.start); }

}  // namespace bbcodec::avx512

// SPDX-License-Identifier: Apache-2.0
// AVX-512 kernels with bit counts of words (VPOPCNTDQ); kernels.hpp says what each computes, and portable.cpp says it as code.
#include <immintrin.h>

#include "compiler.hpp"
#include "engine/kernels/kernels.hpp"

namespace bbcodec::avx512 {
namespace {

// B blocks of 8 outputs by 8 pixels: 8 B accumulators, one word of input against 8 B words of weights per step.
template <std::size_t B>
void bit_blocks(const BitTile& tile, std::size_t block) {
    const std::uint64_t* const x0 = tile.x[0];
    const std::uint64_t* const x1 = tile.x[1];
    const std::uint64_t* const x2 = tile.x[2];
    const std::uint64_t* const x3 = tile.x[3];
    const std::uint64_t* const x4 = tile.x[4];
    const std::uint64_t* const x5 = tile.x[5];
    const std::uint64_t* const x6 = tile.x[6];
    const std::uint64_t* const x7 = tile.x[7];
    const std::size_t step = tile.words * kBitBlock;
    const std::uint64_t* weights = tile.weights + block * step;
    __m512i counts[B][kPixels];
    BBCODEC_UNROLL(2)
    for (std::size_t b = 0; b < B; ++b) BBCODEC_UNROLL(8)
    for (std::size_t p = 0; p < kPixels; ++p) counts[b][p] = _mm512_setzero_si512();
    for (std::size_t j = 0; j < tile.words; ++j, weights += kBitBlock) {
        const std::ptrdiff_t at = tile.offsets[j];
        const std::uint64_t words[kPixels] = {x0[at], x1[at], x2[at], x3[at], x4[at], x5[at], x6[at], x7[at]};
        BBCODEC_UNROLL(2)
        for (std::size_t b = 0; b < B; ++b) {
            const __m512i w = _mm512_loadu_si512(weights + b * step);
            BBCODEC_UNROLL(8)
            for (std::size_t p = 0; p < kPixels; ++p) {
                const __m512i x = _mm512_set1_epi64(static_cast<long long>(words[p]));
                counts[b][p] = _mm512_add_epi64(counts[b][p], _mm512_popcnt_epi64(_mm512_xor_si512(x, w)));
            }
        }
    }
    const __m256i bias = _mm256_set1_epi32(tile.bias);
    BBCODEC_UNROLL(2)
    for (std::size_t b = 0; b < B; ++b) BBCODEC_UNROLL(8)
    for (std::size_t p = 0; p < kPixels; ++p) {
        const __m256i count = _mm512_cvtepi64_epi32(counts[b][p]);
        const __m256i value = _mm256_sub_epi32(bias, _mm256_slli_epi32(count, 1));
        std::int32_t* acc = tile.acc + p * tile.stride + (block + b) * kBitBlock;
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), value);
    }
}

}  // namespace

void bit_tile(const BitTile& tile) {
    std::size_t block = 0;
    for (; block + 2 <= tile.blocks; block += 2) bit_blocks<2>(tile, block);
    if (block < tile.blocks) bit_blocks<1>(tile, block);
}

}  // namespace bbcodec::avx512

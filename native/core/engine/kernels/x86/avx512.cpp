// SPDX-License-Identifier: Apache-2.0
// AVX-512 kernels; the meaning of each is written in kernels.hpp and, as code, in kernels_portable.cpp.
#include "engine/kernels/kernels.hpp"

#if BBCODEC_X86

#include <immintrin.h>

#include <cstring>

#define BBCODEC_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vpopcntdq")))
#define BBCODEC_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace bbcodec {
namespace {

// B blocks of 8 outputs by 8 pixels: 8 B accumulators, one word of input against 8 B words of weights per step.
template <std::size_t B>
BBCODEC_AVX512 void bit_blocks(const BitTile& tile, std::size_t block) {
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
#pragma GCC unroll 2
    for (std::size_t b = 0; b < B; ++b)
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kPixels; ++p) counts[b][p] = _mm512_setzero_si512();
    for (std::size_t j = 0; j < tile.words; ++j, weights += kBitBlock) {
        const std::ptrdiff_t at = tile.offsets[j];
        const std::uint64_t words[kPixels] = {x0[at], x1[at], x2[at], x3[at], x4[at], x5[at], x6[at], x7[at]};
#pragma GCC unroll 2
        for (std::size_t b = 0; b < B; ++b) {
            const __m512i w = _mm512_loadu_si512(weights + b * step);
#pragma GCC unroll 8
            for (std::size_t p = 0; p < kPixels; ++p) {
                const __m512i x = _mm512_set1_epi64(static_cast<long long>(words[p]));
                counts[b][p] = _mm512_add_epi64(counts[b][p], _mm512_popcnt_epi64(_mm512_xor_si512(x, w)));
            }
        }
    }
    const __m256i bias = _mm256_set1_epi32(tile.bias);
#pragma GCC unroll 2
    for (std::size_t b = 0; b < B; ++b)
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kPixels; ++p) {
            const __m256i count = _mm512_cvtepi64_epi32(counts[b][p]);
            const __m256i value = _mm256_sub_epi32(bias, _mm256_slli_epi32(count, 1));
            std::int32_t* acc = tile.acc + p * tile.stride + (block + b) * kBitBlock;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc), value);
        }
}

BBCODEC_AVX512 void bit_tile(const BitTile& tile) {
    std::size_t block = 0;
    for (; block + 2 <= tile.blocks; block += 2) bit_blocks<2>(tile, block);
    if (block < tile.blocks) bit_blocks<1>(tile, block);
}

// The product of four bytes each, or of two int16 each, and the sum in one, without saturation.
struct Bytes {
    typedef std::int8_t Weight;
    static constexpr std::size_t kInputs = 4;
    static BBCODEC_VNNI inline __m512i add(__m512i sum, __m512i x, __m512i w) { return _mm512_dpbusd_epi32(sum, x, w); }
};
struct Shorts {
    typedef std::int16_t Weight;
    static constexpr std::size_t kInputs = 2;
    static BBCODEC_VNNI inline __m512i add(__m512i sum, __m512i x, __m512i w) { return _mm512_dpwssd_epi32(sum, x, w); }
};

// B blocks of 16 outputs by 8 pixels; 32 bits of each input (`steps` of them) meet 32 bits of weights of every output.
// `start` may be nullptr.
template <typename Numbers, std::size_t B, typename Tile>
BBCODEC_VNNI inline void number_blocks(const Tile& tile, std::size_t steps, const std::int32_t* start, std::size_t block) {
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
#pragma GCC unroll 3
    for (std::size_t b = 0; b < B; ++b) {
        const __m512i first = start == nullptr ? _mm512_setzero_si512() : _mm512_loadu_si512(start + (block + b) * kIntBlock);
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kPixels; ++p) sums[b][p] = first;
    }
    for (std::size_t j = 0; j < steps; ++j, weights += kIntBlock * Numbers::kInputs) {
        const std::ptrdiff_t at = tile.offsets[j];
        const void* const from[kPixels] = {x0 + at, x1 + at, x2 + at, x3 + at, x4 + at, x5 + at, x6 + at, x7 + at};
        __m512i w[B];
#pragma GCC unroll 3
        for (std::size_t b = 0; b < B; ++b) w[b] = _mm512_loadu_si512(weights + b * size);
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kPixels; ++p) {
            std::int32_t word;
            std::memcpy(&word, from[p], sizeof word);
            const __m512i x = _mm512_set1_epi32(word);
#pragma GCC unroll 3
            for (std::size_t b = 0; b < B; ++b) sums[b][p] = Numbers::add(sums[b][p], x, w[b]);
        }
    }
#pragma GCC unroll 3
    for (std::size_t b = 0; b < B; ++b)
#pragma GCC unroll 8
        for (std::size_t p = 0; p < kPixels; ++p)
            _mm512_storeu_si512(tile.acc + p * tile.stride + (block + b) * kIntBlock, sums[b][p]);
}

// Three blocks at a time have the fewest loads; a last one by itself the most.
template <typename Numbers, typename Tile>
BBCODEC_VNNI inline void number_tile(const Tile& tile, std::size_t steps, const std::int32_t* start) {
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

BBCODEC_VNNI void int_tile(const IntTile& tile) { number_tile<Shorts>(tile, tile.pairs, nullptr); }
BBCODEC_VNNI void byte_tile(const ByteTile& tile) { number_tile<Bytes>(tile, tile.quads, tile.start); }

BBCODEC_AVX512 void scale(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ScaleParams& params,
                          std::int16_t* out) {
    const __m512i lo = _mm512_set1_epi64(params.lo), hi = _mm512_set1_epi64(params.hi);
    const __m128i shift = _mm_cvtsi32_si128(params.shift);
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.channels)
        for (std::size_t c = 0; c < params.channels; c += 8) {
            const std::size_t left = params.channels - c;
            const __mmask8 mask = static_cast<__mmask8>(left >= 8 ? 0xff : (1u << left) - 1);
            const __m512i a = _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, acc + c));
            const __m512i m = _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(mask, params.mul + c));
            const __m512i b = _mm512_maskz_loadu_epi64(mask, params.add + c);
            const __m512i wide = _mm512_add_epi64(_mm512_mul_epi32(a, m), b);
            const __m512i y = _mm512_min_epi64(_mm512_max_epi64(_mm512_sra_epi64(wide, shift), lo), hi);
            _mm512_mask_cvtepi64_storeu_epi16(out + c, mask, y);
        }
}

BBCODEC_AVX512 void threshold(const std::int32_t* acc, std::size_t rows, std::size_t stride,
                              const ThresholdParams& params, std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.words)
        for (std::size_t word = 0; word < params.words; ++word) {
            std::uint64_t bits = 0;
#pragma GCC unroll 4
            for (std::size_t i = 0; i < 64; i += 16) {
                const __m512i a = _mm512_loadu_si512(acc + word * 64 + i);
                const __m512i limit = _mm512_loadu_si512(params.limits + word * 64 + i);
                bits |= static_cast<std::uint64_t>(_mm512_cmplt_epi32_mask(a, limit)) << i;
            }
            out[word] = bits ^ params.flips[word];
        }
}

BBCODEC_AVX512 void add(const std::int16_t* x, const std::int16_t* y, std::size_t size, std::int16_t lo,
                        std::int16_t hi, std::int16_t* out) {
    // Saturating to int16 and then clamping to a range inside of int16 is the same as clamping the exact sum.
    const __m512i low = _mm512_set1_epi16(lo), high = _mm512_set1_epi16(hi);
    for (std::size_t i = 0; i < size; i += 32) {
        const std::size_t left = size - i;
        const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
        const __m512i sum = _mm512_adds_epi16(_mm512_maskz_loadu_epi16(mask, x + i), _mm512_maskz_loadu_epi16(mask, y + i));
        _mm512_mask_storeu_epi16(out + i, mask, _mm512_min_epi16(_mm512_max_epi16(sum, low), high));
    }
}

BBCODEC_AVX512 void sign(const std::int16_t* x, const std::int16_t* threshold, std::size_t rows, std::size_t channels,
                         std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, x += channels)
        for (std::size_t c = 0; c < channels; c += 64) {
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < 64 && c + i < channels; i += 32) {
                const std::size_t left = channels - c - i;
                const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
                // A saturating sum keeps the sign that the exact sum has.
                const __m512i sum = _mm512_adds_epi16(_mm512_maskz_loadu_epi16(mask, x + c + i),
                                                      _mm512_maskz_loadu_epi16(mask, threshold + c + i));
                bits |= static_cast<std::uint64_t>(_mm512_movepi16_mask(sum)) << i;
            }
            *out++ = bits;
        }
}

}  // namespace

const Kernels kAvx512Kernels = {bit_tile, int_tile, byte_tile, scale, threshold, add, sign, 512, 1.5, sliced_avx512};

}  // namespace bbcodec

#endif  // BBCODEC_X86

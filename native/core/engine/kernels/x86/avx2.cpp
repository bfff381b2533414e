// SPDX-License-Identifier: Apache-2.0
// AVX2 kernels; kernels.hpp says what each computes, and portable.cpp says it as code.
#include <immintrin.h>

#include <cstring>

#include "engine/kernels/kernels.hpp"
#include "engine/kernels/multiply_loop.hpp"

namespace bbcodec::avx2 {
namespace {

constexpr std::size_t kHalf = 4;  // pixels per register tile: 4 x 2 accumulators of 256 bits

// Counts of bits per byte, by two look-ups of 4 bits (Mula, Kurz, Lemire 2018).
inline __m256i byte_counts(__m256i v, __m256i table, __m256i nibble) {
    const __m256i low = _mm256_and_si256(v, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}

// Low halves of 4 + 4 int64, in order.
inline __m256i narrow_64(__m256i a, __m256i b) {
    const __m256 mixed = _mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88);
    return _mm256_permute4x64_epi64(_mm256_castps_si256(mixed), 0xd8);
}

void bit_half(const BitTile& tile, std::size_t first, const std::uint64_t* weights, std::int32_t* acc) {
    constexpr std::size_t kWordsPerByteSum = 31;  // 31 * 8 < 256
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    const __m256i zero = _mm256_setzero_si256();
    __m256i counts[kHalf][2];
    for (std::size_t p = 0; p < kHalf; ++p) counts[p][0] = counts[p][1] = zero;
    for (std::size_t start = 0; start < tile.words; start += kWordsPerByteSum) {
        const std::size_t end = tile.words - start < kWordsPerByteSum ? tile.words : start + kWordsPerByteSum;
        __m256i sums[kHalf][2];
        BBCODEC_UNROLL(4)
        for (std::size_t p = 0; p < kHalf; ++p) sums[p][0] = sums[p][1] = zero;
        for (std::size_t j = start; j < end; ++j) {
            const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + j * kBitBlock));
            const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + j * kBitBlock + 4));
            const std::ptrdiff_t offset = tile.offsets[j];
            BBCODEC_UNROLL(4)
            for (std::size_t p = 0; p < kHalf; ++p) {
                const __m256i x = _mm256_set1_epi64x(static_cast<long long>(tile.x[first + p][offset]));
                sums[p][0] = _mm256_add_epi8(sums[p][0], byte_counts(_mm256_xor_si256(x, w0), table, nibble));
                sums[p][1] = _mm256_add_epi8(sums[p][1], byte_counts(_mm256_xor_si256(x, w1), table, nibble));
            }
        }
        BBCODEC_UNROLL(4)
        for (std::size_t p = 0; p < kHalf; ++p)
            for (int h = 0; h < 2; ++h) counts[p][h] = _mm256_add_epi64(counts[p][h], _mm256_sad_epu8(sums[p][h], zero));
    }
    const __m256i bias = _mm256_set1_epi32(tile.bias);
    for (std::size_t p = 0; p < kHalf; ++p) {
        const __m256i count = narrow_64(counts[p][0], counts[p][1]);
        const __m256i value = _mm256_sub_epi32(bias, _mm256_slli_epi32(count, 1));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + (first + p) * tile.stride), value);
    }
}

void int_half(const IntTile& tile, std::size_t first, const std::int16_t* weights, std::int32_t* acc) {
    __m256i sums[kHalf][2];
    BBCODEC_UNROLL(4)
    for (std::size_t p = 0; p < kHalf; ++p) sums[p][0] = sums[p][1] = _mm256_setzero_si256();
    for (std::size_t j = 0; j < tile.pairs; ++j) {
        const std::int16_t* w = weights + j * kIntBlock * 2;
        const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
        const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 16));
        const std::ptrdiff_t offset = tile.offsets[j];
        BBCODEC_UNROLL(4)
        for (std::size_t p = 0; p < kHalf; ++p) {
            std::int32_t pair;
            std::memcpy(&pair, tile.x[first + p] + offset, sizeof pair);
            const __m256i x = _mm256_set1_epi32(pair);
            sums[p][0] = _mm256_add_epi32(sums[p][0], _mm256_madd_epi16(x, w0));
            sums[p][1] = _mm256_add_epi32(sums[p][1], _mm256_madd_epi16(x, w1));
        }
    }
    for (std::size_t p = 0; p < kHalf; ++p)
        for (std::size_t h = 0; h < 2; ++h)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + (first + p) * tile.stride + 8 * h), sums[p][h]);
}

inline __m256i clamp_64(__m256i v, __m256i lo, __m256i hi) {
    v = _mm256_blendv_epi8(v, lo, _mm256_cmpgt_epi64(lo, v));
    return _mm256_blendv_epi8(v, hi, _mm256_cmpgt_epi64(v, hi));
}

inline __m256i load(const std::int16_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }

}  // namespace

void bit_tile(const BitTile& tile) {
    for (std::size_t block = 0; block < tile.blocks; ++block)
        for (std::size_t first = 0; first < kPixels; first += kHalf)
            bit_half(tile, first, tile.weights + block * tile.words * kBitBlock, tile.acc + block * kBitBlock);
}

void int_tile(const IntTile& tile) {
    for (std::size_t block = 0; block < tile.blocks; ++block)
        for (std::size_t first = 0; first < kPixels; first += kHalf)
            int_half(tile, first, tile.weights + block * tile.pairs * kIntBlock * 2, tile.acc + block * kIntBlock);
}

void scale(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ScaleParams& params, std::int16_t* out) {
    // AVX2 has no arithmetic shift of 64 bits: flip the sign bit (which adds 2^63), shift logically, take it off again.
    const __m256i top = _mm256_set1_epi64x(static_cast<long long>(std::uint64_t{1} << 63));
    const __m256i back = _mm256_set1_epi64x(static_cast<long long>(std::uint64_t{1} << (63 - params.shift)));
    const __m256i lo = _mm256_set1_epi64x(params.lo), hi = _mm256_set1_epi64x(params.hi);
    const __m128i shift = _mm_cvtsi32_si128(params.shift);
    const std::size_t whole = params.channels / 8 * 8;
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.channels) {
        for (std::size_t c = 0; c < whole; c += 8) {
            __m256i part[2];
            for (std::size_t h = 0; h < 2; ++h) {
                const std::size_t at = c + 4 * h;
                const __m256i a = _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(acc + at)));
                const __m256i m = _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(params.mul + at)));
                const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(params.add + at));
                const __m256i wide = _mm256_add_epi64(_mm256_mul_epi32(a, m), b);
                const __m256i moved = _mm256_sub_epi64(_mm256_srl_epi64(_mm256_xor_si256(wide, top), shift), back);
                part[h] = clamp_64(moved, lo, hi);
            }
            const __m256i words = narrow_64(part[0], part[1]);
            const __m128i y = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c), y);
        }
        for (std::size_t c = whole; c < params.channels; ++c) {
            const std::int64_t wide = static_cast<std::int64_t>(acc[c]) * params.mul[c] + params.add[c];
            const std::int64_t low = params.lo, high = params.hi, y = wide >> params.shift;
            out[c] = static_cast<std::int16_t>(y < low ? low : y > high ? high : y);
        }
    }
}

void threshold(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ThresholdParams& params, std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.words)
        for (std::size_t word = 0; word < params.words; ++word) {
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < 64; i += 8) {
                const std::size_t at = word * 64 + i;
                const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc + at));
                const __m256i limit = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(params.limits + at));
                const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(limit, a)));
                bits |= static_cast<std::uint64_t>(static_cast<unsigned>(mask)) << i;
            }
            out[word] = bits ^ params.flips[word];
        }
}

void add(const std::int16_t* x, const std::int16_t* y, std::size_t size, std::int16_t lo, std::int16_t hi, std::int16_t* out) {
    // Saturating to int16 and then clamping to a range inside of int16 is the same as clamping the exact sum.
    const __m256i low = _mm256_set1_epi16(lo), high = _mm256_set1_epi16(hi);
    std::size_t i = 0;
    for (; i + 16 <= size; i += 16) {
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + i));
        const __m256i sum = _mm256_min_epi16(_mm256_max_epi16(_mm256_adds_epi16(a, b), low), high);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), sum);
    }
    portable::add(x + i, y + i, size - i, lo, hi, out + i);
}

void sign(const std::int16_t* x, const std::int16_t* threshold, std::size_t rows, std::size_t channels, std::uint64_t* out) {
    const std::size_t whole = channels / 64 * 64;
    for (std::size_t row = 0; row < rows; ++row, x += channels) {
        for (std::size_t c = 0; c < whole; c += 64) {
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < 64; i += 32) {
                // Saturating sums keep the sign that the exact sum has.
                const __m256i a = _mm256_adds_epi16(load(x + c + i), load(threshold + c + i));
                const __m256i b = _mm256_adds_epi16(load(x + c + i + 16), load(threshold + c + i + 16));
                const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
                bits |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(bytes))) << i;
            }
            *out++ = bits;
        }
        if (whole < channels) portable::sign(x + whole, threshold + whole, 1, channels - whole, out++);
    }
}

void multiply(const std::int16_t* x, const std::int16_t* y, std::size_t size, const MulParams& params, std::int16_t* out) {
    multiply_loop(x, y, size, params, out);
}

}  // namespace bbcodec::avx2

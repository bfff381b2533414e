// SPDX-License-Identifier: Apache-2.0
// AVX-512 kernels of all such CPUs; kernels.hpp says what each computes, and portable.cpp says it as code.
#include <immintrin.h>

#include "compiler.hpp"
#include "engine/kernels/kernels.hpp"

namespace bbcodec::avx512 {

void scale(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ScaleParams& params, std::int16_t* out) {
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

void threshold(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ThresholdParams& params, std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.words)
        for (std::size_t word = 0; word < params.words; ++word) {
            std::uint64_t bits = 0;
            BBCODEC_UNROLL(4)
            for (std::size_t i = 0; i < 64; i += 16) {
                const __m512i a = _mm512_loadu_si512(acc + word * 64 + i);
                const __m512i limit = _mm512_loadu_si512(params.limits + word * 64 + i);
                bits |= static_cast<std::uint64_t>(_mm512_cmplt_epi32_mask(a, limit)) << i;
            }
            out[word] = bits ^ params.flips[word];
        }
}

void add(const std::int16_t* x, const std::int16_t* y, std::size_t size, std::int16_t lo, std::int16_t hi, std::int16_t* out) {
    // Saturating to int16 and then clamping to a range inside of int16 is the same as clamping the exact sum.
    const __m512i low = _mm512_set1_epi16(lo), high = _mm512_set1_epi16(hi);
    for (std::size_t i = 0; i < size; i += 32) {
        const std::size_t left = size - i;
        const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
        const __m512i sum = _mm512_adds_epi16(_mm512_maskz_loadu_epi16(mask, x + i), _mm512_maskz_loadu_epi16(mask, y + i));
        _mm512_mask_storeu_epi16(out + i, mask, _mm512_min_epi16(_mm512_max_epi16(sum, low), high));
    }
}

void sign(const std::int16_t* x, const std::int16_t* threshold, std::size_t rows, std::size_t channels, std::uint64_t* out) {
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

}  // namespace bbcodec::avx512

// SPDX-License-Identifier: Apache-2.0
// The reference kernels: plain C++, any CPU.  Simple loops over a block, which compilers vectorise by themselves.
#include <algorithm>
#include <cstring>

#include "engine/kernels/kernels.hpp"
#include "engine/kernels/multiply_loop.hpp"

namespace bbcodec::portable {
namespace {

// Bit counts of the 8 bytes of a word.
inline std::uint64_t byte_counts(std::uint64_t v) {
    v -= (v >> 1) & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + ((v >> 2) & 0x3333333333333333u);
    return (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

// Sum of the bytes of a word whose bytes are below 256.
inline std::uint64_t byte_sum(std::uint64_t v) {
    v = (v & 0x00ff00ff00ff00ffu) + ((v >> 8) & 0x00ff00ff00ff00ffu);
    v += v >> 16;
    return (v + (v >> 32)) & 0xffff;
}

}  // namespace

void bit_tile(const BitTile& tile) {
    constexpr std::size_t kWordsPerByteSum = 31;  // 31 * 8 < 256
    for (std::size_t block = 0; block < tile.blocks; ++block) {
        const std::uint64_t* weights = tile.weights + block * tile.words * kBitBlock;
        for (std::size_t p = 0; p < kPixels; ++p) {
            const std::uint64_t* x = tile.x[p];
            std::uint64_t counts[kBitBlock] = {};
            for (std::size_t start = 0; start < tile.words; start += kWordsPerByteSum) {
                const std::size_t end = std::min(tile.words, start + kWordsPerByteSum);
                std::uint64_t sums[kBitBlock] = {};
                for (std::size_t j = start; j < end; ++j) {
                    const std::uint64_t word = x[tile.offsets[j]];
                    for (std::size_t o = 0; o < kBitBlock; ++o) sums[o] += byte_counts(word ^ weights[j * kBitBlock + o]);
                }
                for (std::size_t o = 0; o < kBitBlock; ++o) counts[o] += byte_sum(sums[o]);
            }
            std::int32_t* acc = tile.acc + p * tile.stride + block * kBitBlock;
            for (std::size_t o = 0; o < kBitBlock; ++o) acc[o] = tile.bias - 2 * static_cast<std::int32_t>(counts[o]);
        }
    }
}

void int_tile(const IntTile& tile) {
    for (std::size_t block = 0; block < tile.blocks; ++block) {
        const std::int16_t* weights = tile.weights + block * tile.pairs * kIntBlock * 2;
        for (std::size_t p = 0; p < kPixels; ++p) {
            // One sum per number of a vector of weights; the two of a pair meet at the end.
            std::uint32_t sums[kIntBlock * 2] = {};
            for (std::size_t j = 0; j < tile.pairs; ++j) {
                const std::int16_t* x = tile.x[p] + tile.offsets[j];
                const std::int16_t* w = weights + j * kIntBlock * 2;
                // Filled as 32-bit numbers: compilers turn that into a broadcast, and one store of 16 bits each would stall.
                std::uint32_t pair, filled[kIntBlock];
                std::int16_t pairs[kIntBlock * 2];
                std::memcpy(&pair, x, sizeof pair);
                std::fill_n(filled, kIntBlock, pair);
                std::memcpy(pairs, filled, sizeof pairs);
                for (std::size_t i = 0; i < kIntBlock * 2; ++i)
                    sums[i] += static_cast<std::uint32_t>(std::int32_t{pairs[i]} * std::int32_t{w[i]});
            }
            std::int32_t* acc = tile.acc + p * tile.stride + block * kIntBlock;
            for (std::size_t o = 0; o < kIntBlock; ++o) acc[o] = static_cast<std::int32_t>(sums[2 * o] + sums[2 * o + 1]);
        }
    }
}

void scale(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ScaleParams& params, std::int16_t* out) {
    const std::int64_t lo = params.lo, hi = params.hi;
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.channels)
        for (std::size_t c = 0; c < params.channels; ++c) {
            const std::int64_t wide = static_cast<std::int64_t>(acc[c]) * params.mul[c] + params.add[c];
            out[c] = static_cast<std::int16_t>(std::clamp(wide >> params.shift, lo, hi));
        }
}

void threshold(const std::int32_t* acc, std::size_t rows, std::size_t stride, const ThresholdParams& params, std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, acc += stride, out += params.words)
        for (std::size_t word = 0; word < params.words; ++word) {
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < 64; ++i)
                bits |= static_cast<std::uint64_t>(acc[word * 64 + i] < params.limits[word * 64 + i]) << i;
            out[word] = bits ^ params.flips[word];
        }
}

void add(const std::int16_t* x, const std::int16_t* y, std::size_t size, std::int16_t lo, std::int16_t hi, std::int16_t* out) {
    const std::int32_t low = lo, high = hi;
    for (std::size_t i = 0; i < size; ++i)
        out[i] = static_cast<std::int16_t>(std::clamp(static_cast<std::int32_t>(x[i]) + y[i], low, high));
}

void sign(const std::int16_t* x, const std::int16_t* threshold, std::size_t rows, std::size_t channels, std::uint64_t* out) {
    for (std::size_t row = 0; row < rows; ++row, x += channels)
        for (std::size_t start = 0; start < channels; start += 64) {
            const std::size_t count = std::min<std::size_t>(64, channels - start);
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < count; ++i)
                bits |= static_cast<std::uint64_t>(x[start + i] + threshold[start + i] < 0) << i;
            *out++ = bits;
        }
}

void multiply(const std::int16_t* x, const std::int16_t* y, std::size_t size, const MulParams& params, std::int16_t* out) {
    multiply_loop(x, y, size, params, out);
}

}  // namespace bbcodec::portable

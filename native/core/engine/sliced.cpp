// SPDX-License-Identifier: Apache-2.0
#include "engine/sliced.hpp"

#include <algorithm>
#include <atomic>
#include <stdexcept>

namespace bbcodec {
namespace {

constexpr std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

constexpr std::size_t kLineWords = 8;         // words of a cache line
constexpr std::size_t kSegmentPixels = 4096;  // large, so that few pixels are packed twice; small enough for a cache

enum class Slices { automatic, always, never };

std::atomic<Slices>& slices() {
    static std::atomic<Slices> wish{Slices::automatic};
    return wish;
}

}  // namespace

SlicedWeights::SlicedWeights(const std::uint64_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels)
    : outputs_(outputs), kernel_(kernel), channels_(channels) {
    pairs_ = round_up((inputs() + 1) / 2, kLeastPairs);
    planes_ = kLeastPlanes;
    while (inputs() >> planes_ != 0) ++planes_;
    if (planes_ > kMostPlanes) return;
    codes_.assign(pairs_ * outputs, 0);
    odd_.assign(outputs, 0);
    const std::size_t words = (channels + 63) / 64;
    for (std::size_t o = 0; o < outputs; ++o) {
        std::size_t odd = 0, i = 0;
        const auto next = [&]() -> std::size_t {
            if (i == inputs()) return 0;
            const std::size_t c = i % channels, tap = i / channels;
            ++i;
            return weights[(o * kernel * kernel + tap) * words + c / 64] >> (c % 64) & 1;
        };
        for (std::size_t start = 0; start < pairs_;) {
            const std::size_t size = chunk_pairs(pairs_, start);
            std::uint8_t* const code = &codes_[start * outputs + o * size];
            for (std::size_t pair = 0; pair < size; ++pair) {
                const std::size_t first = next(), second = next();
                code[pair] = static_cast<std::uint8_t>(kCodeStep * (odd + 2 * first + 4 * second));
                odd ^= first ^ second;
            }
            start += size;
        }
        odd_[o] = -std::uint64_t{odd};
    }
}

bool SlicedWeights::pays(const MapShape& shape, const Kernels& table) const {
    if (planes_ > kMostPlanes || shape.pixels() == 0) return false;
    const Slices wish = slices().load(std::memory_order_relaxed);
    if (wish != Slices::automatic) return wish == Slices::always;
    // Vectors are computed whole. Tables cost about as much as some more outputs, reading the counters as more inputs.
    constexpr double kTables = 16, kCounters = 64;
    const double all = static_cast<double>(round_up(shape.pixels(), table.lanes)) * (static_cast<double>(outputs_) + kTables) *
                       (static_cast<double>(inputs()) + kCounters);
    const double asked = static_cast<double>(shape.pixels()) * static_cast<double>(outputs_) * static_cast<double>(inputs());
    return all <= table.sliced_gain * asked;
}

void set_slices(const std::string& name) {
    if (name != "automatic" && name != "always" && name != "never")
        throw std::invalid_argument("'automatic', 'always' or 'never' expected");
    slices() = name == "automatic" ? Slices::automatic : name == "always" ? Slices::always : Slices::never;
}

SlicedSizes::SlicedSizes(const SlicedWeights& weights, const MapShape& shape, std::size_t lanes) {
    const std::size_t margin = weights.kernel() / 2;
    const std::size_t span = margin * (shape.width + 1);
    reach = round_up(span, 64);
    // Wide maps have longer segments: about a third of the pixels, at most, is packed for two segments.
    segment = std::min(round_up(std::max(kSegmentPixels, 4 * span), lanes), round_up(shape.pixels(), lanes));
    // A window ends in the word behind its last.
    line = round_up(segment + 2 * reach, lanes) / 64 + kLineWords;
    inputs = round_up(weights.channels(), 64) * line;
    masks = 2 * weights.kernel() * segment / 64;
    tables = 8 * kChunkPairs * lanes / 64;
    counters = (weights.outputs() * (weights.planes() - 1) + (weights.outputs() + 1) * kMostWaiting) * lanes / 64;
    const std::size_t wide = round_up(weights.outputs(), 64);
    limits = weights.outputs() * (weights.planes() + 1);
    bytes = 2 * (lanes + kLineWords) * wide / 8;
    rows = kRowPixels * wide / 2;
    for (std::size_t* size : {&inputs, &masks, &tables, &counters, &limits, &bytes, &rows}) *size = round_up(*size, kLineWords);
}

}  // namespace bbcodec

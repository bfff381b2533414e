// SPDX-License-Identifier: Apache-2.0
#include "families/latent/cut_mixture.hpp"

#include <algorithm>

namespace bbcodec {

namespace {

constexpr int kRangeLog2 = 14;
constexpr std::int64_t kHalfRange = 1 << 19, kCells = 1024;

template <typename T>
T clamped(T value, T low, T high) {
    return std::min(std::max(value, low), high);
}

}  // namespace

CutMixtures::CutMixtures(const CutMixtureTables& tables, const CutMixtureParams& params, int bits, int cells_log2)
    : sigmoid_(tables.sigmoid),
      components_(params.elements * params.components),
      low_(params.elements),
      inside_(params.elements),
      count_(params.components),
      step_(kRangeLog2 - cells_log2),
      cells_(std::int64_t{1} << cells_log2),
      free_((std::int64_t{1} << bits) - cells_) {
    const auto [log2_weights, means, scales, elements, components] = params;
    for (std::size_t i = 0; i < elements; ++i) {
        const std::int32_t* row = log2_weights + i * components;
        const std::int64_t most = *std::max_element(row, row + components);
        for (std::size_t j = 0; j < components; ++j) {
            const std::size_t at = i * components + j;
            const auto behind = std::min<std::int64_t>(most - log2_weights[at], CutMixtureTables::kWeights - 1);
            const auto scale = clamped<std::int32_t>(scales[at], 0, CutMixtureTables::kScales - 1);
            components_[at] = {tables.weight[behind], tables.inverse[scale],
                               clamped<std::int32_t>(means[at], 0, 1 << kRangeLog2)};
        }
        low_[i] = mass(i, 0);
        inside_[i] = mass(i, cells_) - low_[i];
    }
}

std::int64_t CutMixtures::mass(std::size_t i, std::int64_t m) const {
    const std::int64_t place = m << step_;
    std::int64_t total = 0;
    for (std::size_t j = 0; j < count_; ++j) {
        const Component& c = components_[i * count_ + j];
        const std::int64_t u = clamped(((place - c.mean) * c.inverse) >> 10, -kHalfRange, kHalfRange) + kHalfRange;
        const std::int64_t cell = std::min(u >> 10, kCells - 1), low = sigmoid_[cell];
        total += c.weight * (low + (((sigmoid_[cell + 1] - low) * (u - (cell << 10))) >> 10));
    }
    return total >> 15;
}

std::int64_t CutMixtures::find(std::size_t i, std::int64_t y) const {
    std::int64_t low = 0, high = cells_;  // end(low) <= y < end(high)
    while (high - low > 1) {
        const std::int64_t middle = (low + high) >> 1;
        // end(middle) <= y, without its division
        if ((mass(i, middle) - low_[i]) * free_ < (y - middle + 1) * inside_[i])
            low = middle;
        else
            high = middle;
    }
    return low;
}

}  // namespace bbcodec

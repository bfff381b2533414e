// SPDX-License-Identifier: Apache-2.0
#include "engine/epilogue.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace bbcodec {

Scale::Scale(const std::int32_t* mul, const std::int64_t* add, std::size_t channels, int shift, int lo, int hi)
    : mul_(mul, mul + channels),
      add_(add, add + channels),
      shift_(shift),
      lo_(static_cast<std::int16_t>(lo)),
      hi_(static_cast<std::int16_t>(hi)) {
    constexpr std::int64_t kMost = std::int64_t{1} << 61;
    if (shift < 1 || shift > 40) throw std::invalid_argument("shift must be 1 to 40");
    if (lo > hi || lo_ != lo || hi_ != hi) throw std::invalid_argument("lo <= hi inside of int16 expected");
    for (std::int64_t& value : add_) {
        if (value > kMost || value < -kMost) throw std::invalid_argument("add must be within 2^61");
        value += std::int64_t{1} << (shift - 1);
    }
}

ScaleParams Scale::params() const { return {mul_.data(), add_.data(), mul_.size(), shift_, lo_, hi_}; }

Threshold::Threshold(const std::int32_t* limits, const std::uint8_t* flips, std::size_t channels)
    : channels_(channels),
      limits_((channels + 63) / 64 * 64, std::numeric_limits<std::int32_t>::min()),
      flips_((channels + 63) / 64, 0) {
    std::copy_n(limits, channels, limits_.begin());
    for (std::size_t c = 0; c < channels; ++c) flips_[c / 64] |= static_cast<std::uint64_t>(flips[c] != 0) << (c % 64);
}

ThresholdParams Threshold::params() const { return {limits_.data(), flips_.data(), flips_.size()}; }

void finish(const Kernels& table, const Epilogue& epilogue, const std::int32_t* acc, std::size_t stride, std::size_t outputs,
            std::size_t first, std::size_t count) {
    if (epilogue.stream != nullptr) {
        table.scale(acc, count, stride, epilogue.scale->params(), epilogue.stream + first * outputs);
    } else if (epilogue.bits != nullptr) {
        const ThresholdParams params = epilogue.threshold->params();
        table.threshold(acc, count, stride, params, epilogue.bits + first * params.words);
    } else {
        for (std::size_t p = 0; p < count; ++p) std::copy_n(acc + p * stride, outputs, epilogue.acc + (first + p) * outputs);
    }
}

}  // namespace bbcodec

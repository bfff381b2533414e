// SPDX-License-Identifier: Apache-2.0
// Shapes of maps, and the outputs that are made from the accumulators of a convolution.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/kernels/kernels.hpp"

namespace bbcodec {

struct MapShape {
    std::size_t n, height, width;
    std::size_t pixels() const { return n * height * width; }
};

// Multiply, shift and clamp per channel: the Requantise of the graph. Throws std::invalid_argument.
class Scale {
  public:
    Scale(const std::int32_t* mul, const std::int64_t* add, std::size_t channels, int shift, int lo, int hi);
    std::size_t channels() const { return mul_.size(); }
    ScaleParams params() const;

  private:
    std::vector<std::int32_t> mul_;
    std::vector<std::int64_t> add_;
    int shift_;
    std::int16_t lo_, hi_;
};

// The sign of a Requantise as one comparison: bit = (acc < limit[c]) xor flip[c].
class Threshold {
  public:
    Threshold(const std::int32_t* limits, const std::uint8_t* flips, std::size_t channels);
    std::size_t channels() const { return channels_; }
    ThresholdParams params() const;

  private:
    std::size_t channels_;
    std::vector<std::int32_t> limits_;
    std::vector<std::uint64_t> flips_;
};

// The output that is wanted; exactly one is set.
struct Epilogue {
    std::int32_t* acc = nullptr;
    const Scale* scale = nullptr;
    std::int16_t* stream = nullptr;
    const Threshold* threshold = nullptr;
    std::uint64_t* bits = nullptr;
};

// Turns rows of accumulators, `stride` apart, into the output. `first` counts pixels from the start of the batch.
void finish(const Kernels& table, const Epilogue& epilogue, const std::int32_t* acc, std::size_t stride, std::size_t outputs,
            std::size_t first, std::size_t count);

}  // namespace bbcodec

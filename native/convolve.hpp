// SPDX-License-Identifier: Apache-2.0
// Convolutions over whole batches: weights in kernel order, padding, tiles, and what is done with the accumulators.
// No SIMD here, and no Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace bbcodec {

struct MapShape {
    std::size_t n, height, width;
    std::size_t pixels() const { return n * height * width; }
};

// Multiply, shift and clamp per channel: the Requantise of the graph.  Throws std::invalid_argument.
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

// What becomes of the accumulators; exactly one output is set.
struct Epilogue {
    std::int32_t* acc = nullptr;
    const Scale* scale = nullptr;
    std::int16_t* stream = nullptr;
    const Threshold* threshold = nullptr;
    std::uint64_t* bits = nullptr;
};

// Bits x bits; outside of the map is +1.
class BitConv {
public:
    // weights: [outputs, kernel, kernel, ceil(channels / 64)], spare bits 0.
    BitConv(const std::uint64_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels);
    std::size_t outputs() const { return outputs_; }
    std::size_t depth() const { return words_; }
    void run(const std::uint64_t* x, const MapShape& shape, const Epilogue& epilogue) const;

private:
    std::size_t outputs_, kernel_, channels_, words_;
    std::vector<std::uint64_t> weights_;
};

// int16 x int8 (±1 included); outside of the map is 0.
class IntConv {
public:
    // weights: [outputs, kernel, kernel, channels].
    IntConv(const std::int8_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels);
    std::size_t outputs() const { return outputs_; }
    std::size_t depth() const { return channels_; }
    void run(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const;

private:
    std::size_t outputs_, kernel_, channels_, pairs_;  // pairs_: of one row of kernel taps
    std::vector<std::int16_t> weights_;
};

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Convolutions over whole batches: weights in kernel order, padding, tiles, and what is done with the accumulators.
// No SIMD here, and no Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "epilogue.hpp"
#include "sliced.hpp"

namespace bbcodec {

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
    SlicedWeights sliced_;
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

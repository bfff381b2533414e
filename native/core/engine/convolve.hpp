// SPDX-License-Identifier: Apache-2.0
// Convolutions over whole batches: weights in kernel order, padding, tiles, and the use of the accumulators. No SIMD here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include "engine/epilogue.hpp"
#include "engine/sliced.hpp"

namespace bbcodec {

// Weights start at a cache line: each vector of 64 bytes is one line.
template <typename T>
struct OnLine {
    typedef T value_type;
    OnLine() = default;
    template <typename U>
    OnLine(const OnLine<U>&) {}
    T* allocate(std::size_t size) { return static_cast<T*>(::operator new(size * sizeof(T), kLine)); }
    void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
    bool operator==(const OnLine&) const { return true; }
    bool operator!=(const OnLine&) const { return false; }

  private:
    static constexpr std::align_val_t kLine{64};
};
template <typename T>
using Weights = std::vector<T, OnLine<T>>;

// Bits x bits. Pixels outside of the map are +1.
class BitConv {
  public:
    // weights: [outputs, kernel, kernel, ceil(channels / 64)], spare bits 0.
    BitConv(const std::uint64_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels);
    std::size_t outputs() const { return outputs_; }
    std::size_t depth() const { return words_; }
    void run(const std::uint64_t* x, const MapShape& shape, const Epilogue& epilogue) const;

  private:
    std::size_t outputs_, kernel_, channels_, words_;
    Weights<std::uint64_t> weights_;
    SlicedWeights sliced_;
};

// int16 x int8, ±1 included. Pixels outside of the map are 0.
//
// If all inputs and 0 are known to lie in a range of 256 numbers, they are narrowed to bytes while the map is padded, where
// the CPU has instructions for bytes.
class IntConv {
  public:
    // weights: [outputs, kernel, kernel, channels]. For inputs outside of `lo` to `hi` the results may be wrong.
    IntConv(const std::int8_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels,
            std::int32_t lo = INT16_MIN, std::int32_t hi = INT16_MAX);
    std::size_t outputs() const { return outputs_; }
    std::size_t depth() const { return channels_; }
    void run(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const;

  private:
    // A row of kernel taps is contiguous in the padded map, and is cut into steps of `Inputs` numbers. If its length is no
    // multiple of that, the last step reads numbers behind the row, whose weights are 0.
    template <std::size_t Inputs, typename T>
    Weights<T> in_blocks(const std::int8_t* weights) const;
    std::size_t steps(std::size_t of) const { return (kernel_ * channels_ + of - 1) / of; }  // of one row of kernel taps
    std::vector<std::ptrdiff_t> offsets(std::size_t line, std::size_t of) const;
    void run_bytes(const std::int16_t* x, const MapShape& shape, const Epilogue& epilogue) const;

    std::size_t outputs_, kernel_, channels_;
    Weights<std::int16_t> weights_;
    // For bytes; empty if these are not used. A byte is an input plus `offset_`; `start_` takes that off again.
    Weights<std::int8_t> byte_weights_;
    std::vector<std::int32_t> start_;
    std::uint8_t offset_ = 0;
};

}  // namespace bbcodec

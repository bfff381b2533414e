// SPDX-License-Identifier: Apache-2.0
// Bit convolutions in bit slices: the fast way where there are many pixels, inputs and outputs.
//
// A *plane* holds one bit of as many neighbouring pixels (row by row, image by image) as a vector register has bits.
// The mismatches of an output are counted in two stages.
//
// First, the inputs of an output pixel (channels of each tap) go pair by pair through a chain of full adders, which leaves one
// carry a pair. The sum bit of the chain is the same for all outputs, inverted or not: the parity of the mismatches so far
// depends on the weights only through the number of their ones. So a carry depends on three bits of the weights: both weights
// of the pair, and the parity of the ones before it. A *table* has the carries of all 8 patterns for each pair (the method of
// the four Russians); all outputs share it.
//
// Second, an output looks up its carries, half as many planes as it has inputs. It adds them to counters by full adders; the
// bits of the counters are planes too, and the upper ones change rarely (Harley and Seal). With ternary logic that is a load
// and two operations for two inputs of 512 pixels.
//
// Pairs are worked through in *chunks*, whose tables stay in the first level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/epilogue.hpp"

namespace bbcodec {

constexpr std::size_t kLowPlanes = 5;    // planes of a counter that a whole chunk adds to
constexpr std::size_t kChunkPairs = 32;  // 2^kLowPlanes; the last chunks of a convolution may have 16 and 8
constexpr std::size_t kLeastPairs = 8;
constexpr std::size_t kCodeStep = 8;      // factor of a pattern's number: an address is then one shift less
constexpr std::size_t kMostWaiting = 16;  // chunks whose upper carries may wait to be added
constexpr std::size_t kLeastPlanes = 11;  // the sum and 10 planes of carries, to which 16 chunks are added at once
constexpr std::size_t kMostPlanes = 16;   // counts have at most two bytes

// The weights of a bit convolution as patterns, in the order in which they are looked up.
class SlicedWeights {
  public:
    SlicedWeights() = default;
    // weights: [outputs, kernel, kernel, ceil(channels / 64)].
    SlicedWeights(const std::uint64_t* weights, std::size_t outputs, std::size_t kernel, std::size_t channels);
    std::size_t outputs() const { return outputs_; }
    std::size_t kernel() const { return kernel_; }
    std::size_t channels() const { return channels_; }
    std::size_t inputs() const { return kernel_ * kernel_ * channels_; }
    std::size_t pairs() const { return pairs_; }    // a multiple of kLeastPairs; surplus pairs count nothing
    std::size_t planes() const { return planes_; }  // of a count: the sum bit and the carries
    // Chunk by chunk, output by output, pair by pair: kCodeStep * (odd + 2 * first + 4 * second weight).
    const std::uint8_t* codes() const { return codes_.data(); }
    // All bits are set if the output has an odd number of ones.
    std::uint64_t odd(std::size_t output) const { return odd_[output]; }
    // Whether this is the faster way for maps of this shape.
    bool pays(const MapShape& shape, const Kernels& table) const;

  private:
    std::size_t outputs_ = 0, kernel_ = 0, channels_ = 0, pairs_ = 0, planes_ = 0;
    std::vector<std::uint8_t> codes_;
    std::vector<std::uint64_t> odd_;
};

// "automatic" where it is faster, "always" where it is possible, or "never". For tests and benchmarks: results are the same.
void set_slices(const std::string& name);

// Pairs of the chunk that starts at `pair`.
constexpr std::size_t chunk_pairs(std::size_t pairs, std::size_t pair) {
    const std::size_t left = pairs - pair;
    return left >= 32 ? 32 : left >= 16 ? 16 : 8;
}

// How the work is cut, and the memory for it in words of 64 bits. Every part is a whole number of cache lines.
// A *segment* is a run of pixels whose input planes are made at once, together with those within `reach` on both sides.
struct SlicedSizes {
    SlicedSizes(const SlicedWeights& weights, const MapShape& shape, std::size_t lanes);
    std::size_t total() const { return inputs + masks + tables + counters + limits + bytes + rows; }

    std::size_t segment;  // pixels
    std::size_t reach;    // pixels, a multiple of 64
    std::size_t line;     // words of one channel's plane of a segment, with some to spare behind
    std::size_t inputs;   // planes of all channels
    std::size_t masks;    // per row and column of taps: which pixels of the segment have it inside of the map
    std::size_t tables;   // of a chunk
    std::size_t counters;
    std::size_t limits;  // of the signs
    std::size_t bytes;   // counts of a vector of pixels, low bytes and high bytes
    std::size_t rows;    // accumulators of a few pixels
};

constexpr std::size_t kRowPixels = 16;  // pixels whose accumulators are in memory at a time

struct SlicedJob {
    const std::uint64_t* x;
    const MapShape* shape;
    const SlicedWeights* weights;
    const SlicedSizes* sizes;
    const Epilogue* epilogue;
    const Kernels* table;
    std::uint64_t* memory;
};

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Bit convolutions in bit slices: the fast way where there are many pixels, inputs and outputs.
//
// A *plane* holds one bit of as many neighbouring pixels (row by row, image by image) as a vector register has bits.
// The inputs of an output pixel (channels of each tap) are taken in *groups* of three.  For each group a table has the
// mismatches with each of the 8 patterns of three weights, counted in two planes (as in the method of the four
// Russians); it is made once for all outputs.  An output looks its pattern up and adds the two planes to counters
// whose bits are planes too, by full adders, the upper ones rarely (Harley and Seal).  With ternary logic that is two
// loads and about four operations for three inputs of 512 pixels.
//
// Groups are worked through in *chunks*, the tables of which stay in the first level cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "epilogue.hpp"

namespace bbcodec {

constexpr std::size_t kGroup = 3;         // inputs per group
constexpr std::size_t kChunkGroups = 32;  // at most; the last chunks of a convolution may have 16 and 8
constexpr std::size_t kPairCodes = 3;      // bytes that say what an output looks up in the table of two groups
constexpr std::size_t kLowPlanes = 5;      // of a counter: those that a chunk of 32 groups adds to
constexpr std::size_t kMostWaiting = 8;   // chunks whose uppermost planes may wait to be added
constexpr std::size_t kLeastPlanes = 10;  // so many are added to where 8 chunks have waited
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
    std::size_t groups() const { return groups_; }  // a multiple of 8; those that are too many count nothing
    std::size_t planes() const { return planes_; }  // of a counter
    // Chunk by chunk, output by output, pair of groups by pair: 16 * (odd in the first + 2 * odd in the second) and 8 *
    // pattern of each, where odd says that a pattern has one or three ones.
    const std::uint8_t* codes() const { return codes_.data(); }
    // Whether this is the faster way for maps of this shape.
    bool pays(const MapShape& shape, const Kernels& table) const;

private:
    std::size_t outputs_ = 0, kernel_ = 0, channels_ = 0, groups_ = 0, planes_ = 0;
    std::vector<std::uint8_t> codes_;
};

// "automatic": where it pays; "always": wherever it can; "never".  Results are the same; this is for tests and benchmarks.
void set_slices(const std::string& name);

// Groups of the chunk that starts at `group`.
constexpr std::size_t chunk_groups(std::size_t groups, std::size_t group) {
    const std::size_t left = groups - group;
    return left >= 32 ? 32 : left >= 16 ? 16 : 8;
}

// How the work is cut and what memory it takes, in words of 64 bits; every part is a whole number of cache lines.
// A *segment* is a run of pixels whose input planes are made at once; with them those within `reach` on both sides.
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
    std::size_t limits;   // of the signs
    std::size_t bytes;    // counts of a vector of pixels, low bytes and high bytes
    std::size_t rows;     // accumulators of a few pixels
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

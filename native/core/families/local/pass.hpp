// SPDX-License-Identifier: Apache-2.0
// The local family (docs/local.md): one pass over a group of blocks, whatever the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "families/local/model.hpp"

namespace bbcodec::local {

// What a pass works on. All that it points to outlives the pass.
struct PassJob {
    const Model* model;
    const Shape* shapes;  // of each block
    std::size_t blocks;
    int channels;                     // 1 or 3
    const std::int32_t* const* side;  // of each block int32 [H], or null
    int threads;
};

// One pass over a group of blocks, in decoding order.
class Pass {
  public:
    virtual ~Pass();
    // Gives the intervals of all samples in decoding order. samples: of each block [height][width][channels].
    virtual void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) = 0;
    // For training, of one block: int8 features [pixels][channels][48], and (p, ks, sample) [pixels][channels][3]. Pixels
    // are in raster order, channels in coding order.
    virtual void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) = 0;
    // Gathers statistics of blocks without coding them.
    virtual void survey(const std::uint8_t* const* blocks) = 0;
    // Adds the statistics to sums [blocks][channel][moment][1 + 48]: after decode or survey, if the model has latents.
    virtual void add_statistics(std::int64_t* sums) const = 0;
    // Pops all samples; returns the number of words taken, or -1 if there are too few.
    virtual std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                                  std::size_t n_words) = 0;
};

// Returns a pass for the target in use.
std::unique_ptr<Pass> make_pass(const PassJob& job);

// Passes for the targets; core/select_kernels.cpp chooses.
Pass* make_pass_portable(const PassJob&);
Pass* make_pass_sse2(const PassJob&);
Pass* make_pass_avx2(const PassJob&);
Pass* make_pass_avx512(const PassJob&);
Pass* make_pass_avx512vnni(const PassJob&);

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// The deep family (docs/deep.md): one pass over the planes of a chain, whatever the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "families/deep/model.hpp"

namespace bbcodec::deep {

struct Plane {
    std::array<int, kReferences> reference{};  // earlier planes; -1: none
    int role = 0;
    bool phased = false;
    int top = 0;  // the largest sample

    int kind() const { return (reference[0] >= 0) + (reference[1] >= 0); }
};

// What a pass works on. All that it points to outlives the pass.
struct ChainJob {
    const Model* model;
    int height, width;
    const Plane* planes;
    std::size_t count;
    int threads;
};

// Intervals of symbols in 2^-20, in decoding order, in sections that begin at lane 0 of the message.
class Symbols {
  public:
    // Notes the pixel of every symbol too, if `traced`.
    explicit Symbols(bool traced = false);
    Symbols(const Symbols&) = delete;
    Symbols& operator=(const Symbols&) = delete;
    ~Symbols();

    struct Place {
        std::uint32_t *start, *freq;
        std::int64_t* pixel;  // or null
    };
    // Begins a section of n symbols, and returns where they go until the next one begins.
    Place begin(std::size_t n);

    const std::vector<std::uint32_t>& start() const { return start_; }
    const std::vector<std::uint32_t>& freq() const { return freq_; }
    const std::vector<std::int64_t>& sections() const { return sections_; }
    // Of each symbol, or empty.
    const std::vector<std::int64_t>& pixels() const { return pixels_; }

  private:
    std::vector<std::uint32_t> start_, freq_;
    std::vector<std::int64_t> sections_, pixels_;
    const bool traced_;
};

// How a chain was decoded.
struct Decoded {
    std::size_t taken = 0;   // words
    bool enough = true;      // words
    bool possible = true;    // no sample is larger than it can be
};

class Pass {
  public:
    virtual ~Pass();
    // Gives the symbols of all samples. planes: of each [height][width].
    virtual void plan(const std::uint16_t* const* planes, Symbols& to) = 0;
    // For training: int8 features [plane][pixels][48], and (p, ks, sample) [plane][pixels][3], in raster order.
    virtual void observe(const std::uint16_t* const* planes, std::int8_t* features, std::int32_t* facts) = 0;
    virtual Decoded decode(std::uint16_t* const* planes, std::uint64_t* head, const std::uint32_t* words, std::size_t n_words) = 0;
};

// Returns a pass for the target in use.
std::unique_ptr<Pass> make_pass(const ChainJob& job);

// Passes for the targets; core/select_kernels.cpp chooses.
Pass* make_pass_portable(const ChainJob&);
Pass* make_pass_sse2(const ChainJob&);
Pass* make_pass_avx2(const ChainJob&);
Pass* make_pass_avx512(const ChainJob&);
Pass* make_pass_avx512vnni(const ChainJob&);

}  // namespace bbcodec::deep

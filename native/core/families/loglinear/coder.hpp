// SPDX-License-Identifier: Apache-2.0
// The loglinear family (docs/loglinear.md): codes a group of blocks, whatever the instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "families/local/pass.hpp"
#include "families/loglinear/model.hpp"

namespace bbcodec::loglinear {

struct Job {
    local::PassJob base;
    const Layer* layer;
    // -1: every pixel is predicted. Otherwise pixels with at least so many found neighbours are looked for first.
    int neighbours = -1;
};

// Words of a stream: its head, high half first, then its tail from the front.
struct Words {
    const std::uint32_t* data = nullptr;
    std::size_t size = 0;
};

// Codes a group once.
class Coder {
  public:
    virtual ~Coder();
    // Number of streams, which depends only on the blocks.
    virtual int streams() const = 0;
    // Codes the samples of blocks [height][width][channels]. The words live as long as the coder.
    virtual void encode(const std::uint8_t* const* blocks) = 0;
    virtual Words words(int stream) const = 0;
    // Gives the cost of every pixel in bits: of each block [height][width].
    virtual void cost(const std::uint8_t* const* blocks, float* const* bits) = 0;
    // Decodes the samples. Returns false if the words do not end where the samples do, or not in the initial state.
    virtual bool decode(std::uint8_t* const* blocks, const Words* streams) = 0;
};

std::unique_ptr<Coder> make_coder(const Job& job);

// Coders for the targets; core/select_kernels.cpp chooses.
Coder* make_coder_portable(const Job&);
Coder* make_coder_sse2(const Job&);
Coder* make_coder_avx2(const Job&);
Coder* make_coder_avx512(const Job&);
Coder* make_coder_avx512vnni(const Job&);

}  // namespace bbcodec::loglinear

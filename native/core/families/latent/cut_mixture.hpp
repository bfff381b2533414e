// SPDX-License-Identifier: Apache-2.0
// Distribution functions of cut mixtures of logistics, the maps of a flow: bbcodec/coding/distributions/cut_mixture.py
// says what they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bbcodec {

struct CutMixtureTables {
    static constexpr std::size_t kSigmoid = 1025, kScales = 88, kWeights = 1537;
    std::vector<std::int64_t> sigmoid, inverse, weight;
};

// Parameters of the maps, [elements, components] each; they are clamped.
struct CutMixtureParams {
    const std::int32_t* log2_weights;
    const std::int32_t* means;
    const std::int32_t* scales;
    std::size_t elements;
    std::size_t components;
};

// One map for every element: integers below 2^bits, in 2^cells_log2 cells.
class CutMixtures {
  public:
    CutMixtures(const CutMixtureTables& tables, const CutMixtureParams& params, int bits, int cells_log2);

    std::size_t elements() const { return low_.size(); }
    std::int64_t cells() const { return cells_; }
    std::int64_t total() const { return free_ + cells_; }

    // Where cell m of element i begins; 0 <= m <= cells().
    std::int64_t end(std::size_t i, std::int64_t m) const { return (mass(i, m) - low_[i]) * free_ / inside_[i] + m; }
    // The cell of element i that holds y; 0 <= y < total().
    std::int64_t find(std::size_t i, std::int64_t y) const;

  private:
    struct Component {
        std::int64_t weight, inverse, mean;
    };

    std::int64_t mass(std::size_t i, std::int64_t m) const;

    std::vector<std::int64_t> sigmoid_;
    std::vector<Component> components_;
    std::vector<std::int64_t> low_, inside_;
    std::size_t count_;
    int step_;
    std::int64_t cells_, free_;
};

}  // namespace bbcodec

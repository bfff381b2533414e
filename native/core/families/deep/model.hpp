// SPDX-License-Identifier: Apache-2.0
// The deep family (docs/deep.md): what a model holds, in the layout that the kernels read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "families/local/model.hpp"

namespace bbcodec::deep {

using local::kPredictors;
using local::Span;

constexpr int kReferences = 2;
constexpr int kKinds = kReferences + 1;  // of planes: by their number of references
constexpr int kAround = 9;               // positions in a reference
constexpr int kPhases = 4;
constexpr int kMaxPhased = 10;                    // positions where phases are told apart
constexpr int kOwnPlaces = kPhases * kMaxPhased;  // more than there are positions without phases
constexpr int kRegressors = kOwnPlaces + kReferences * kAround;
constexpr int kFinest = -16;  // the smallest scale number
constexpr int kScales = 96;
constexpr int kWindow = 256;  // symbols around a prediction
constexpr int kMaxTop = 65535;
constexpr int kMaxRoles = 32;

// Sums of least squares of one predictor: those of term j are (j, j) .. (j, N - 1) and its right-hand side.
struct Layout {
    float along = 0, down = 0;                 // shares that F and G lose
    int terms = 0;                             // N
    std::array<int, kRegressors> regressor{};  // of each term: own positions (of each phase in turn), then of each reference
    int size = 0;
    std::size_t offset = 0;  // within the sums of both predictors
    std::size_t place = 0;   // within the weights of both predictors
};

// The predictors of a kind of planes.
struct Predictors {
    std::array<Layout, kPredictors> layout{};
    std::size_t sums = 0, weights = 0;  // of both
    int own = 0, around = 0;            // positions that one of them uses
    bool alike = false;                 // whether both are the same
};

// What a model file holds, as plain numbers.
struct ModelFields {
    local::ModelFields base;
    std::array<int, kPredictors> phased{};
    Span<std::int64_t> scales;  // inverse scales from kFinest on
};

struct Model {
    // Throws std::invalid_argument if a number is out of range, or an array has the wrong size.
    explicit Model(const ModelFields& fields);

    local::Model base;                            // the network
    Predictors predictors[kKinds][2];             // by kind, and whether phases are told apart
    std::array<float, kScales> inverse{};         // counts 2^23
    std::vector<std::int32_t> zeros;              // as many as there are sums at most
};

}  // namespace bbcodec::deep

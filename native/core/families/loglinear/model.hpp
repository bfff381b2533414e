// SPDX-License-Identifier: Apache-2.0
// The loglinear family (docs/loglinear.md): what a model adds to the network and predictors of the local family.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "families/local/model.hpp"

namespace bbcodec::loglinear {

using local::Span;

constexpr int kChannelKinds = 4;  // first, second and third channel of RGB; gray
constexpr int kDecisionKinds = 8;
constexpr int kTermsOfContext = 4;
constexpr int kTerms = 33;  // that a context may name
constexpr int kMaxContexts = 32;
constexpr int kMaxTableBits = 22;
constexpr int kCounts = 16;        // numbers of visits that an entry tells apart
constexpr int kLogs = 2048;        // entries of the table of logarithms
constexpr int kSquashes = 3072;    // entries of the table of probabilities
constexpr int kLogitLimit = 12288; // of logits in 2^-10
constexpr int kMaxStreams = 8;
constexpr int kPixelContexts = 8;  // of decisions about whole pixels
constexpr int kPixelKinds = 7;     // candidates: four neighbours, three colours that are recalled
constexpr int kPixelLines = 256;   // of the first of these contexts

// What a model file holds, as plain numbers. docs/loglinear.md has the meaning of each.
struct LayerFields {
    int contexts = 0;    // N: 8, 12, 16, 24 or 32
    int table_bits = 0;  // of the largest table
    int skip = 0, mix_shift = 0;
    Span<std::int32_t> terms;    // [kChannelKinds][N][4]
    Span<std::int8_t> direct;    // [kChannelKinds][N]: 1 for direct contexts
    Span<std::int32_t> weights;  // [kChannelKinds][kDecisionKinds][N], in 2^-20
    Span<std::int32_t> pixel_weights;  // [kDecisionKinds][kPixelContexts], in 2^-20
    Span<std::int8_t> pixel_start;     // [kPixelLines][kPixelKinds]: log-odds at the start in 1/16; or none
    // Integer tables of the format (bbcodec/families/loglinear/tables.py).
    Span<std::int32_t> log;        // [kLogs + 16]: of 0 .. 2047, then of 2^s
    Span<std::int32_t> squash;     // [kSquashes]
    Span<std::int32_t> rate;       // [kCounts]
};

struct Layer {
    // Throws std::invalid_argument if a number is out of range, or an array has the wrong size.
    explicit Layer(const LayerFields& fields);

    int contexts = 0, table_bits = 0, skip = 0, mix_shift = 0;
    std::vector<std::int32_t> terms;    // [kChannelKinds][4][N]: the first terms of all contexts, then the second ones ...
    std::vector<std::int8_t> direct;    // [kChannelKinds][N]
    std::vector<std::int32_t> weights;  // [kChannelKinds][kDecisionKinds][N]
    std::vector<std::int32_t> pixel_weights;  // [kDecisionKinds][kPixelContexts]
    std::vector<std::int8_t> pixel_start;     // [kPixelLines][kPixelKinds]
    std::array<std::int32_t, kLogs + 16> log{};
    std::array<std::int32_t, kSquashes> squash{};
    std::array<std::int32_t, kCounts> rate{};
};

}  // namespace bbcodec::loglinear

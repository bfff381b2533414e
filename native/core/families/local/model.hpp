// SPDX-License-Identifier: Apache-2.0
// The local family (docs/local.md): what a model holds, in the layout that the kernels read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace bbcodec::local {

constexpr int kChannels = 3;
constexpr int kPredictors = 2;
constexpr int kFeatures = 48;
constexpr int kOwn = 16;     // positions in the own channel
constexpr int kEarlier = 9;  // positions in a channel coded before
constexpr int kMaxTerms = kOwn + 2 * kEarlier;
constexpr int kCell = 3;         // pixels of a row that share a fit
constexpr int kLanes = 8;        // lanes of the rANS message
constexpr int kMaxLanes = 2048;  // pixels that are coded at one time
constexpr int kMaxHidden = 192;
constexpr int kMaxInputs = kMaxHidden + kFeatures;  // inputs of a last layer
constexpr int kMaxComponents = 8;
constexpr int kNear = 9;     // rows and columns that `positions` tells apart
constexpr int kMoments = 3;  // moments of errors in the statistics of a block
constexpr int kStatistics = kChannels * kMoments * (kFeatures + 1);
constexpr int kRegressors = kOwn + 2 * kEarlier;

// Number of features of channel c; the others are 0.
constexpr int used_features(int c) { return 27 + 10 * c; }
constexpr int padded(int n, int to) { return (n + to - 1) / to * to; }

// Start of row k of n rows: (k, k) .. (k, n - 1) and the right-hand side.
constexpr int row_start(int n, int k) { return k * (n + 1) - k * (k - 1) / 2; }

// Least-squares state of one channel and predictor. Term j has the entries (j, j) .. (j, N - 1) and its right-hand side.
struct StateLayout {
    int along = 0, down = 0;                 // shifts by which F and G forget
    int terms = 0;                           // N
    std::array<int, kMaxTerms> regressor{};  // of each term: own positions, then kEarlier of each earlier channel
    int size = 0;
    std::size_t offset = 0;  // within the states of all channels and predictors
    std::size_t place = 0;   // within the weights of all channels and predictors
};

// Numbers that start at a cache line: no vector of them crosses one.
template <typename T>
struct LineAllocator {
    using value_type = T;
    static constexpr std::align_val_t kLine{64};
    LineAllocator() = default;
    template <typename U>
    LineAllocator(const LineAllocator<U>&) {}
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, kLine); }
    bool operator==(const LineAllocator&) const { return true; }
    bool operator!=(const LineAllocator&) const { return false; }
};
template <typename T>
using Lines = std::vector<T, LineAllocator<T>>;

// Numbers that somebody else owns.
template <typename T>
struct Span {
    const T* data = nullptr;
    std::size_t size = 0;
};

// What a model file holds, as plain numbers. docs/local.md has the meaning of each; H is `hidden`, L `layers`, J `components`.
struct ModelFields {
    int hidden = 0;  // a multiple of 32, or of 64 if there are hidden layers
    int layers = 0;
    int components = 0;  // of a mixture
    // Of both predictors:
    std::array<int, kPredictors> own{}, earlier{};  // positions in the own channel and in each channel coded before
    std::array<int, kPredictors> along{}, down{};   // shifts by which their sums forget
    std::int64_t ridge = 0;
    int rate_q = 0;                         // of learning, in 2^-20
    int every = 1;                          // times from one step of learning to the next
    bool latents = false;                   // statistics are wanted
    Span<std::int8_t> first_w;              // [3][48][H]
    Span<std::int32_t> first_m, first_b;    // [3][H]
    Span<std::int8_t> signs;                // [L][H][H], outputs before inputs
    Span<std::int32_t> hidden_m, hidden_b;  // [L][H]
    Span<std::int32_t> out_w;               // [3][H + 48][3 J], in 2^-20
    Span<std::int32_t> out_b;               // [3][3 J], in 2^-20
    Span<std::int32_t> prior;               // sums of least squares before the first pixel, or none
    Span<std::int32_t> positions;           // [3][9][H], or none
    // Integer tables of the format (bbcodec/families/local/tables.py, bbcodec/coding/logistic_tables.py).
    Span<std::int32_t> r1, r2, sig, le;  // [80]
    Span<std::int32_t> exp;              // [2817]
    Span<std::int64_t> sigmoid;          // [1025]
    Span<std::int64_t> inverse;          // [80]
};

// The tables as the kernels read them.
struct Tables {
    Tables() = default;
    explicit Tables(const ModelFields& fields);

    std::array<std::int32_t, 80> r1{}, r2{}, sig{}, le{};
    std::array<float, 80> inverse{};                   // counts 2^23
    std::array<std::int32_t, 80> unit{};               // width of a component, about, in 1/16 of a symbol
    std::vector<std::int32_t> exp;                     // [2817]
    std::vector<std::array<std::int32_t, 2>> sigmoid;  // [1024]: value at a place, and the step to the next
    // The sigmoid less 1/2, from 0 to 8 scales, as one line a quarter of a scale. For searches, which need not be exact.
    std::array<float, 32> rough_value{}, rough_rise{};
};

struct Model {
    // Throws std::invalid_argument if a number is out of range, or an array has the wrong size.
    explicit Model(const ModelFields& fields);

    int hidden = 0, layers = 0, components = 0;
    int outputs = 0;  // 3 J
    float ridge = 0, rate = 0;
    int every = 1;  // times from one step of learning to the next
    StateLayout state[kChannels][kPredictors];
    std::size_t state_size = 0, weights_size = 0;
    int used_own = 0, used_earlier = 0;      // positions that a predictor uses
    bool alike[kChannels] = {};              // whether both predictors are the same
    std::vector<std::int32_t> prior;         // [state_size]
    Lines<std::int32_t> first_quads;         // [3][H / 16][12][16], four 8-bit weights each
    Lines<std::int32_t> first_pairs;         // [3][H / 16][24][16], two 16-bit weights each
    Lines<std::int32_t> first_m, first_b;    // [3][H]
    Lines<std::int32_t> first_b_quads;       // [3][H], for features that are 128 too large
    Lines<std::int32_t> positions;           // [3][9][H]: by rows from the top, columns from the left, from the right; or none
    bool latents = false;                    // statistics are wanted
    Lines<std::int32_t> hidden_quads;        // [L][H / 16][H / 4][16], four signs each
    Lines<std::int32_t> hidden_m, hidden_b;  // [L][H]
    std::vector<float> out_w;                // [3][H + 48][outputs]
    std::vector<float> out_b;                // [3][outputs]
    Tables tables;

  private:
    void lay_out(const ModelFields& fields);
    void set_prior(Span<std::int32_t> from);
    // Finds predictors that are the same; comes after set_prior.
    void compare();
    // Packs the weights; comes after first_m and first_b.
    void pack(const std::int8_t* first, const std::int8_t* signs);
};

struct Shape {
    int height = 0, width = 0;
};

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// The local family (docs/local.md): what a model holds, in the layout that the kernels read.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

namespace bbcodec::local {

constexpr int kChannels = 3;
constexpr int kPredictors = 2;
constexpr int kFeatures = 48;
constexpr int kOwn = 16;       // positions in the own channel
constexpr int kEarlier = 9;    // positions in a channel coded before
constexpr int kMaxTerms = kOwn + 2 * kEarlier;
constexpr int kCell = 3;       // pixels of a row that share a fit
constexpr int kLanes = 8;      // of the rANS message
constexpr int kMaxLanes = 2048;  // pixels of one time
constexpr int kMaxHidden = 192;
constexpr int kMaxInputs = kMaxHidden + kFeatures;  // of a last layer
constexpr int kMaxComponents = 8;
constexpr int kNear = 9;       // rows and columns that the map of positions tells apart
constexpr int kMoments = 3;    // of errors, in the statistics of a block
constexpr int kStatistics = kChannels * kMoments * (kFeatures + 1);
constexpr int kRegressors = kOwn + 2 * kEarlier;

// How many features channel c has; those beyond are 0.
constexpr int used_features(int c) { return 27 + 10 * c; }
constexpr int padded(int n, int to) { return (n + to - 1) / to * to; }

// Where row k begins, of n rows (k, k) .. (k, n - 1) and right-hand side.
constexpr int row_start(int n, int k) { return k * (n + 1) - k * (k - 1) / 2; }

// Least-squares state of one channel and predictor: for each term j the entries (j, j) .. (j, N - 1) and the
// right-hand side of j.
struct StateLayout {
    int along = 0, down = 0;                    // shifts by which F and G forget
    int terms = 0;                              // N
    std::array<int, kMaxTerms> regressor{};     // of each term: own positions, then kEarlier of each earlier channel
    int size = 0;
    std::size_t offset = 0;                     // within the states of all channels and predictors
    std::size_t place = 0;                      // within the weights of all channels and predictors
};

// Numbers that begin at a cache line, so that no vector of them crosses one.
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

// Integer tables of the format, computed once in Python (bbcodec/local/tables.py, distributions/tables.py).
struct Tables {
    std::array<std::int32_t, 80> r1{}, r2{}, sig{}, le{};
    std::array<float, 80> inverse{};     // counts 2^23
    std::array<std::int32_t, 80> unit{};  // about the width of a component in 1/16 of a symbol
    std::vector<std::int32_t> exp;       // [2817]
    std::vector<std::array<std::int32_t, 2>> sigmoid;  // [1024]: of each place, and how much more the next is
    // For searches, which need not be exact: sigmoid less 1/2 from 0 to 8 as lines, by quarters of a scale.
    std::array<float, 32> rough_value{}, rough_rise{};

    // Makes what follows from the others: from the 1,025 numbers of the sigmoid, and the 80 inverse scales.
    void complete(const std::vector<std::int64_t>& sigmoid_at, const std::vector<std::int64_t>& inverse_at);
};

struct Model {
    int hidden = 0, layers = 0, components = 0;
    int outputs = 0;   // 3 J
    float ridge = 0, rate = 0;
    int every = 1;     // times from one step of learning to the next
    StateLayout state[kChannels][kPredictors];
    std::size_t state_size = 0, weights_size = 0;
    int used_own = 0, used_earlier = 0;      // positions that some predictor uses
    bool alike[kChannels] = {};              // whether the second predictor is the first again
    std::vector<std::int32_t> prior;         // [state_size]
    Lines<std::int32_t> first_quads;   // [3][H / 16][12][16], four 8-bit weights each
    Lines<std::int32_t> first_pairs;   // [3][H / 16][24][16], two 16-bit weights each
    Lines<std::int32_t> first_m, first_b;          // [3][H]
    Lines<std::int32_t> first_b_quads;       // [3][H], for features that are 128 too large
    Lines<std::int32_t> positions;           // [3][9][H]: rows from the top, columns from the left and from the right; or none
    bool latents = false;                    // statistics are wanted
    Lines<std::int32_t> hidden_quads;  // [L][H / 16][H / 4][16], four signs each
    Lines<std::int32_t> hidden_m, hidden_b;  // [L][H]
    std::vector<float> out_w;                // [3][H + 48][outputs]
    std::vector<float> out_b;                // [3][outputs]
    Tables tables;

    void lay_out(const int own[2], const int earlier[2], const int along[2], const int down[2]);
    // After the prior: finds the predictors that are alike.
    void compare();
    // Takes first_w, int8 [3][48][H], and hidden_w, int8 [L][H][H] of +-1, outputs before inputs; after first_m and first_b.
    void pack(const std::int8_t* first, const std::int8_t* signs);
};

struct Shape {
    int height = 0, width = 0;
};

// One pass over a group of blocks, in decoding order.
class Pass {
  public:
    virtual ~Pass() = default;
    // samples: of each block [height][width][channels]. Intervals of all samples in decoding order.
    virtual void plan(const std::uint8_t* const* blocks, std::uint32_t* start, std::uint32_t* freq) = 0;
    // For training, of one block: int8 features [pixels][channels][48], and (p, ks, sample) [pixels][channels][3], pixels in
    // raster order, channels in coding order.
    virtual void observe(const std::uint8_t* block, std::int8_t* features, std::int32_t* facts) = 0;
    // Statistics of blocks without coding them.
    virtual void survey(const std::uint8_t* const* blocks) = 0;
    // After decode or survey, if the model has latents: [blocks][channel][moment][1 + 48].
    virtual std::vector<std::int64_t> statistics() const = 0;
    // Pops all samples; returns the number of words taken, or -1 where they do not suffice.
    virtual std::ptrdiff_t decode(std::uint8_t* const* blocks, std::uint64_t* head, const std::uint32_t* words,
                                  std::size_t n_words) = 0;
};

// side: for each block int32 [H], or null.
using MakePass = Pass* (*)(const Model&, const std::vector<Shape>&, int channels, const std::int32_t* const* side,
                           int threads);
Pass* make_pass_portable(const Model&, const std::vector<Shape>&, int, const std::int32_t* const*, int);
Pass* make_pass_avx2(const Model&, const std::vector<Shape>&, int, const std::int32_t* const*, int);
Pass* make_pass_avx512(const Model&, const std::vector<Shape>&, int, const std::int32_t* const*, int);
Pass* make_pass_vnni(const Model&, const std::vector<Shape>&, int, const std::int32_t* const*, int);

}  // namespace bbcodec::local

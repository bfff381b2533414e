// SPDX-License-Identifier: Apache-2.0
#include "families/local/model.hpp"

#include <algorithm>

namespace bbcodec::local {
namespace {

// Small numbers side by side in a word, the first in its lowest bits.
template <typename T>
std::int32_t packed(const T* from, std::size_t step, int count) {
    constexpr int kBits = 32 / (4 / static_cast<int>(sizeof(T)));
    std::uint32_t word = 0;
    for (int i = 0; i < count; ++i)
        word |= (static_cast<std::uint32_t>(from[i * step]) & ((std::uint64_t{1} << kBits) - 1)) << (i * kBits);
    return static_cast<std::int32_t>(word);
}

}  // namespace

void Tables::complete(const std::vector<std::int64_t>& sigmoid_at, const std::vector<std::int64_t>& inverse_at) {
    sigmoid.clear();
    for (std::size_t i = 0; i + 1 < sigmoid_at.size(); ++i)
        sigmoid.push_back({static_cast<std::int32_t>(sigmoid_at[i]), static_cast<std::int32_t>(sigmoid_at[i + 1] - sigmoid_at[i])});
    // 32 places of that table are a scale.
    const auto half = [&](int quarters) { return static_cast<float>(sigmoid_at[512 + 8 * quarters]) / (1 << 30) - 0.5f; };
    for (int i = 0; i < 32; ++i) {
        rough_rise[i] = half(i + 1) - half(i);
        rough_value[i] = half(i) - static_cast<float>(i) * rough_rise[i];
    }
    for (std::size_t e = 0; e < inverse.size(); ++e) inverse[e] = static_cast<float>(inverse_at[e]) / (1 << 23);
    // A symbol is 64 inverse 2^-25 scales wide.
    for (std::size_t e = 0; e < unit.size(); ++e) unit[e] = std::max(16, static_cast<std::int32_t>((std::int64_t{1} << 22) / inverse_at[e]));
}

void Model::lay_out(const int own[2], const int earlier[2], const int along[2], const int down[2]) {
    state_size = weights_size = 0;
    used_own = std::max(own[0], own[1]), used_earlier = std::max(earlier[0], earlier[1]);
    for (int c = 0; c < kChannels; ++c)
        for (int q = 0; q < kPredictors; ++q) {
            StateLayout& s = state[c][q];
            s.along = along[q], s.down = down[q];
            s.terms = 0;
            for (int i = 0; i < own[q]; ++i) s.regressor[s.terms++] = i;
            for (int k = 0; k < c; ++k)
                for (int i = 0; i < earlier[q]; ++i) s.regressor[s.terms++] = kOwn + k * kEarlier + i;
            s.size = s.terms * (s.terms + 3) / 2;
            s.offset = state_size;
            state_size += static_cast<std::size_t>(s.size);
            s.place = weights_size;
            weights_size += static_cast<std::size_t>(s.terms);
        }
}

void Model::compare() {
    for (int c = 0; c < kChannels; ++c) {
        const StateLayout &a = state[c][0], &b = state[c][1];
        alike[c] = a.along == b.along && a.down == b.down && a.terms == b.terms && a.regressor == b.regressor &&
                   std::equal(&prior[a.offset], &prior[a.offset] + a.size, &prior[b.offset]);
    }
}

void Model::pack(const std::int8_t* first, const std::int8_t* signs) {
    // Of word i of n for output o: in blocks of sixteen outputs.
    const auto place = [](std::size_t i, std::size_t o, std::size_t n) { return (o / 16 * n + i) * 16 + o % 16; };
    const std::size_t h = hidden, n = kFeatures;
    first_pairs.resize(kChannels * n / 2 * h), first_quads.resize(kChannels * n / 4 * h);
    first_b_quads = first_b;
    for (std::size_t c = 0; c < kChannels; ++c)
        for (std::size_t p = 0; p < n / 2; ++p)
            for (std::size_t o = 0; o < h; ++o) {
                const std::int8_t* from = first + (c * n + 2 * p) * h + o;
                const std::int16_t pair[2] = {from[0], from[h]};
                first_pairs[c * n / 2 * h + place(p, o, n / 2)] = packed(pair, 1, 2);
            }
    for (std::size_t c = 0; c < kChannels; ++c)
        for (std::size_t o = 0; o < h; ++o) {
            for (std::size_t q = 0; q < n / 4; ++q)
                first_quads[c * n / 4 * h + place(q, o, n / 4)] = packed(first + (c * n + 4 * q) * h + o, h, 4);
            std::uint32_t excess = 0;
            for (std::size_t f = 0; f < static_cast<std::size_t>(padded(used_features(static_cast<int>(c)), 4)); ++f) excess += static_cast<std::uint32_t>(128 * first[(c * n + f) * h + o]);
            std::int32_t& b = first_b_quads[c * h + o];
            b = static_cast<std::int32_t>(static_cast<std::uint32_t>(b) - excess * static_cast<std::uint32_t>(first_m[c * h + o]));
        }
    hidden_quads.resize(layers * h * h / 4);
    for (std::size_t l = 0; l < static_cast<std::size_t>(layers); ++l)
        for (std::size_t q = 0; q < h / 4; ++q)
            for (std::size_t o = 0; o < h; ++o) hidden_quads[l * h / 4 * h + place(q, o, h / 4)] = packed(signs + (l * h + o) * h + 4 * q, 1, 4);
}

}  // namespace bbcodec::local

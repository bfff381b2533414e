// SPDX-License-Identifier: Apache-2.0
#include "families/local/model.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace bbcodec::local {
namespace {

// Returns small numbers side by side in a word, the first in its lowest bits.
template <typename T>
std::int32_t packed(const T* from, std::size_t step, int count) {
    constexpr int kBits = 32 / (4 / static_cast<int>(sizeof(T)));
    std::uint32_t word = 0;
    for (int i = 0; i < count; ++i)
        word |= (static_cast<std::uint32_t>(from[i * step]) & ((std::uint64_t{1} << kBits) - 1)) << (i * kBits);
    return static_cast<std::int32_t>(word);
}

template <typename T>
void expect(Span<T> span, std::size_t size, const char* name) {
    if (span.size != size)
        throw std::invalid_argument(std::string("local model: ") + name + " has " + std::to_string(span.size) +
                                    " numbers, expected " + std::to_string(size));
}

template <typename T, typename To>
void copy(Span<T> from, To& to, const char* name) {
    expect(from, to.size(), name);
    std::copy_n(from.data, from.size, to.begin());
}

void check(const ModelFields& f) {
    if (f.hidden % (f.layers ? 64 : 32) || f.hidden < 32 || f.hidden > kMaxHidden || f.layers < 0 || f.components < 1 ||
        f.components > kMaxComponents || f.every < 1)
        throw std::invalid_argument("local model: sizes are out of range");
    for (int q = 0; q < kPredictors; ++q)
        if (f.own[q] < 2 || f.own[q] > kOwn || f.earlier[q] < 0 || f.earlier[q] > kEarlier || f.along[q] < 1 || f.along[q] > 3 ||
            f.down[q] < 1 || f.down[q] > 4)
            throw std::invalid_argument("local model: a predictor is out of range");
}

// Numbers that count 2^20, as floats.
void scale(Span<std::int32_t> from, std::size_t size, const char* name, std::vector<float>& to) {
    expect(from, size, name);
    to.resize(size);
    std::transform(from.data, from.data + size, to.begin(),
                   [](std::int32_t v) { return static_cast<float>(v) * (1.0f / (1 << 20)); });
}

}  // namespace

Tables::Tables(const ModelFields& fields) : exp(2817) {
    copy(fields.r1, r1, "r1"), copy(fields.r2, r2, "r2"), copy(fields.sig, sig, "sig"), copy(fields.le, le, "le");
    copy(fields.exp, exp, "exp");
    expect(fields.sigmoid, 1025, "sigmoid"), expect(fields.inverse, inverse.size(), "inverse");
    const std::int64_t *const sigmoid_at = fields.sigmoid.data, *const inverse_at = fields.inverse.data;
    for (std::size_t i = 0; i + 1 < fields.sigmoid.size; ++i)
        sigmoid.push_back(
            {static_cast<std::int32_t>(sigmoid_at[i]), static_cast<std::int32_t>(sigmoid_at[i + 1] - sigmoid_at[i])});
    // 32 places of that table are a scale.
    const auto half = [&](int quarters) { return static_cast<float>(sigmoid_at[512 + 8 * quarters]) / (1 << 30) - 0.5f; };
    for (int i = 0; i < 32; ++i) {
        rough_rise[i] = half(i + 1) - half(i);
        rough_value[i] = half(i) - static_cast<float>(i) * rough_rise[i];
    }
    for (std::size_t e = 0; e < inverse.size(); ++e) inverse[e] = static_cast<float>(inverse_at[e]) / (1 << 23);
    // A symbol is 64 inverse 2^-25 scales wide.
    for (std::size_t e = 0; e < unit.size(); ++e)
        unit[e] = std::max(16, static_cast<std::int32_t>((std::int64_t{1} << 22) / inverse_at[e]));
}

Model::Model(const ModelFields& fields)
    : hidden(fields.hidden),
      layers(fields.layers),
      components(fields.components),
      outputs(3 * fields.components),
      ridge(static_cast<float>(fields.ridge)),
      rate(static_cast<float>(fields.rate_q) * (1.0f / (1 << 20))),
      every(fields.every),
      latents(fields.latents),
      tables(fields) {
    check(fields);
    lay_out(fields);
    set_prior(fields.prior);
    compare();
    const std::size_t h = hidden, l = layers, outs = outputs;
    if (fields.positions.size) {
        positions.resize(3 * kNear * h);
        copy(fields.positions, positions, "positions");
    }
    expect(fields.first_w, kChannels * kFeatures * h, "first_w");
    expect(fields.signs, l * h * h, "signs");
    first_m.resize(kChannels * h), first_b.resize(kChannels * h);
    copy(fields.first_m, first_m, "first_m"), copy(fields.first_b, first_b, "first_b");
    pack(fields.first_w.data, fields.signs.data);
    hidden_m.resize(l * h), hidden_b.resize(l * h);
    copy(fields.hidden_m, hidden_m, "hidden_m"), copy(fields.hidden_b, hidden_b, "hidden_b");
    scale(fields.out_w, kChannels * (h + kFeatures) * outs, "out_w", out_w);
    scale(fields.out_b, kChannels * outs, "out_b", out_b);
}

void Model::lay_out(const ModelFields& fields) {
    const auto &own = fields.own, &earlier = fields.earlier;
    used_own = std::max(own[0], own[1]), used_earlier = std::max(earlier[0], earlier[1]);
    for (int c = 0; c < kChannels; ++c)
        for (int q = 0; q < kPredictors; ++q) {
            StateLayout& s = state[c][q];
            s.along = fields.along[q], s.down = fields.down[q];
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

// Sets the sums of least squares before the first pixel: zeros, or what the model file has. That has rows below the diagonal
// and then the right-hand sides.
void Model::set_prior(Span<std::int32_t> from) {
    prior.assign(state_size, 0);
    if (from.size == 0) return;
    expect(from, state_size, "prior");
    const std::int32_t* next = from.data;
    for (const auto& channel : state)
        for (const StateLayout& s : channel) {
            std::int32_t* to = &prior[s.offset];
            for (int i = 0; i < s.terms; ++i)
                for (int j = 0; j <= i; ++j) to[row_start(s.terms, j) + i - j] = *next++;
            for (int i = 0; i < s.terms; ++i) to[row_start(s.terms, i) + s.terms - i] = *next++;
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
    // Place of word i of n for output o; outputs lie in blocks of sixteen.
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
            for (std::size_t f = 0; f < static_cast<std::size_t>(padded(used_features(static_cast<int>(c)), 4)); ++f)
                excess += static_cast<std::uint32_t>(128 * first[(c * n + f) * h + o]);
            std::int32_t& b = first_b_quads[c * h + o];
            b = static_cast<std::int32_t>(static_cast<std::uint32_t>(b) -
                                          excess * static_cast<std::uint32_t>(first_m[c * h + o]));
        }
    hidden_quads.resize(layers * h * h / 4);
    for (std::size_t l = 0; l < static_cast<std::size_t>(layers); ++l)
        for (std::size_t q = 0; q < h / 4; ++q)
            for (std::size_t o = 0; o < h; ++o)
                hidden_quads[l * h / 4 * h + place(q, o, h / 4)] = packed(signs + (l * h + o) * h + 4 * q, 1, 4);
}

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

namespace bbcodec::local {

void Model::lay_out(const int own[2], const int earlier[2], const int along[2], const int down[2]) {
    state_size = weights_size = 0;
    for (int c = 0; c < kChannels; ++c)
        for (int q = 0; q < kPredictors; ++q) {
            StateLayout& s = state[c][q];
            s.own = own[q], s.earlier = earlier[q], s.along = along[q], s.down = down[q];
            s.terms = own[q] + c * earlier[q];
            int at = 0;
            for (int j = 0; j < s.terms; ++j) {
                s.row[j] = at;
                at += padded(s.terms - j + 1, kPad);
            }
            s.row[s.terms] = at;
            s.size = at;
            s.offset = state_size;
            state_size += static_cast<std::size_t>(at);
            s.span = padded(s.terms, kPad);
            s.place = weights_size;
            weights_size += static_cast<std::size_t>(s.span);
        }
}

void Model::pack(const std::int8_t* first, const std::int8_t* signs) {
    const std::size_t h = hidden, n = kFeatures;
    first_w.resize(kChannels * n * h), first_w4.resize(kChannels * n * h), first_excess.assign(kChannels * h, 0);
    for (std::size_t c = 0; c < kChannels; ++c)
        for (std::size_t f = 0; f < n; ++f)
            for (std::size_t o = 0; o < h; ++o) {
                const std::int8_t w = first[(c * n + f) * h + o];
                first_w[((c * n / 2 + f / 2) * h + o) * 2 + f % 2] = w;
                first_w4[((c * n / 4 + f / 4) * h + o) * 4 + f % 4] = w;
                first_excess[c * h + o] += 128 * w;
            }
    hidden_w.resize(layers * h * h), hidden_w4.resize(layers * h * h);
    for (std::size_t l = 0; l < static_cast<std::size_t>(layers); ++l)
        for (std::size_t o = 0; o < h; ++o)
            for (std::size_t i = 0; i < h; ++i) {
                const std::int8_t sign = signs[(l * h + o) * h + i];
                hidden_w[l * h * h + (i / 2 * h + o) * 2 + i % 2] = sign;
                hidden_w4[l * h * h + (i / 4 * h + o) * 4 + i % 4] = sign;
            }
}

}  // namespace bbcodec::local

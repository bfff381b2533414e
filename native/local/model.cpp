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

}  // namespace bbcodec::local

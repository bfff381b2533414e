// SPDX-License-Identifier: Apache-2.0
#include "families/loglinear/model.hpp"

#include <algorithm>
#include <stdexcept>

namespace bbcodec::loglinear {
namespace {

void expect(bool right, const char* what) {
    if (!right) throw std::invalid_argument(what);
}

template <typename T, typename To>
void take(Span<T> from, To& to, const char* what) {
    expect(from.size == to.size(), what);
    std::copy_n(from.data, from.size, to.begin());
}

}  // namespace

Layer::Layer(const LayerFields& f) : contexts(f.contexts), table_bits(f.table_bits), skip(f.skip), mix_shift(f.mix_shift) {
    expect(contexts == 8 || contexts == 12 || contexts == 16 || contexts == 24 || contexts == 32, "loglinear model: contexts");
    expect(table_bits >= 12 && table_bits <= kMaxTableBits, "loglinear model: table_bits");
    expect(skip >= 4 && skip <= 20, "loglinear model: skip");
    expect(mix_shift >= 6 && mix_shift <= 20, "loglinear model: mix_shift");
    const std::size_t n = static_cast<std::size_t>(contexts);
    expect(f.terms.size == kChannelKinds * n * kTermsOfContext, "loglinear model: terms");
    terms.resize(f.terms.size);
    for (std::size_t kind = 0; kind < kChannelKinds; ++kind)
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t k = 0; k < kTermsOfContext; ++k) {
                const std::int32_t term = f.terms.data[(kind * n + i) * kTermsOfContext + k];
                expect(term >= 0 && term < kTerms, "loglinear model: a term");
                terms[(kind * kTermsOfContext + k) * n + i] = term;
            }
    direct.resize(kChannelKinds * n), weights.resize(kChannelKinds * kDecisionKinds * n);
    take(f.direct, direct, "loglinear model: direct");
    take(f.weights, weights, "loglinear model: weights");
    pixel_weights.resize(kDecisionKinds * kPixelContexts), pixel_start.resize(kPixelLines * kPixelKinds);
    take(f.pixel_weights, pixel_weights, "loglinear model: pixel_weights");
    take(f.pixel_start, pixel_start, "loglinear model: pixel_start");
    take(f.log, log, "loglinear model: log");
    take(f.squash, squash, "loglinear model: squash");
    take(f.rate, rate, "loglinear model: rate");
}

}  // namespace bbcodec::loglinear

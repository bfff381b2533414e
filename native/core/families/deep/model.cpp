// SPDX-License-Identifier: Apache-2.0
#include "families/deep/model.hpp"

#include <algorithm>
#include <stdexcept>

namespace bbcodec::deep {
namespace {

float share(int shift) { return 1.0f / static_cast<float>(1 << shift); }

Predictors predictors_of(const ModelFields& fields, int kind, bool phased) {
    Predictors to;
    for (int q = 0; q < kPredictors; ++q) {
        Layout& s = to.layout[q];
        s.along = share(fields.base.along[q]), s.down = share(fields.base.down[q]);
        const int own = phased ? fields.phased[q] : fields.base.own[q], around = fields.base.earlier[q];
        for (int f = 0; f < (phased ? kPhases : 1); ++f)
            for (int i = 0; i < own; ++i) s.regressor[s.terms++] = f * kMaxPhased + i;
        for (int k = 0; k < kind; ++k)
            for (int i = 0; i < around; ++i) s.regressor[s.terms++] = kOwnPlaces + k * kAround + i;
        s.size = s.terms * (s.terms + 3) / 2;
        s.offset = to.sums, s.place = to.weights;
        to.sums += static_cast<std::size_t>(s.size), to.weights += static_cast<std::size_t>(s.terms);
        to.own = std::max(to.own, own), to.around = std::max(to.around, around);
    }
    const Layout &a = to.layout[0], &b = to.layout[1];
    to.alike = a.terms == b.terms && a.regressor == b.regressor && a.along == b.along && a.down == b.down;
    return to;
}

}  // namespace

Model::Model(const ModelFields& fields) : base(fields.base) {
    for (const int n : fields.phased)
        if (n < 2 || n > kMaxPhased) throw std::invalid_argument("deep model: a predictor is out of range");
    if (fields.scales.size != inverse.size()) throw std::invalid_argument("deep model: scales have the wrong size");
    for (std::size_t e = 0; e < inverse.size(); ++e) inverse[e] = static_cast<float>(fields.scales.data[e]) / (1 << 23);
    std::size_t most = 0;
    for (int kind = 0; kind < kKinds; ++kind)
        for (const bool phased : {false, true}) {
            predictors[kind][phased] = predictors_of(fields, kind, phased);
            most = std::max(most, predictors[kind][phased].sums);
        }
    zeros.resize(most);
}

}  // namespace bbcodec::deep

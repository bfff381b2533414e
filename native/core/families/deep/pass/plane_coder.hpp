// SPDX-License-Identifier: Apache-2.0
// What is done with the lanes of a chunk at a time: prediction, and what the samples teach. docs/deep.md defines it.
// Floats and doubles are never contracted, so that every target gives the same numbers.
// Part of chain_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::deep {
namespace {

constexpr int kHeight = 64;  // of a level, in units of predictions
constexpr int kParts = 2;    // of a step of learning, to be shared out

// The last layer of a role, and the gradients of each worker.
struct Head {
    local::LastLayer layer;
    Buffer<Buffer<std::int32_t>> sums;
};

// What a chunk has besides local::Chunk.
struct Wide {
    Around around;
    Cell cell;
    // Of the samples at hand: bits below a symbol, the first symbol of the window, symbols, and how far beyond the window the
    // samples lie (in symbols), and their low bits.
    Row shift, base, symbols, far, low;
};

class PlaneCoder {
  public:
    PlaneCoder(const Model& model, const Plane& plane, local::Shape shape, const Reference* references, Head& head, History* samples,
               History* errors)
        : model_(model),
          base_(model.base),
          plane_(plane),
          kind_(plane.kind()),
          predictors_(model.predictors[kind_][plane.phased]),
          references_(references),
          head_(head),
          kept_samples_(samples),
          kept_errors_(errors),
          shape_(shape),
          group_(local::PassJob{&model.base, &shape_, 1, 1, nullptr, 1}, predictors_.sums, predictors_.weights, model.zeros.data()) {
        const std::size_t chunks = group_.chunks.size();
        sample_.resize(chunks, (plane.top + 1) >> 1), error_.resize(chunks, 1280), slow_.resize(chunks, 0);
        for (History* history : {samples, errors})
            if (history) history->resize(group_.end, chunks);
        while (plane.top >> bits_) ++bits_;
        mix_.resize(base_.components, chunks);
        wide.resize(chunks);
    }

    local::Group& group() { return group_; }
    const Model& model() const { return model_; }
    const local::Mixtures& mixtures() const { return mix_; }
    int top() const { return plane_.top; }

    // Brings the chunk's lanes to time t; false if it has none.
    bool enter(std::size_t k, int t) {
        local::Chunk& chunk = group_.chunks[k];
        chunk.time = t;
        chunk.lanes.advance(t);
        if (!chunk.lanes.busy) return false;
        chunk.lanes.look(t, k, group_.chunks.size());
        if (kind_ > 0) wide[k].around.look(chunk.lanes, t, k, group_.chunks.size());
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun)) chunk.slow_row[0].all() &= ~begun;
        return true;
    }

    template <typename F>
    void each_active(std::size_t k, F f) const {
        const local::Lanes& lanes = group_.chunks[k].lanes;
        for (int l = 0; l < kChunk; ++l)
            if (lanes.active.v[l]) f(l, static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l]);
    }

    // From what is known around the lanes of chunk k to their mixtures; without the network, if `blind`.
    void predict(std::size_t k, local::Layers& layers, bool blind, bool decoding, bool learning) {
        local::Chunk& chunk = group_.chunks[k];
        Wide& w = wide[k];
        Surroundings around;
        look_around(k, around);
        guess(k, around);
        const Ints mean = (around.guess[0] + around.guess[1]) >> 1;
        Ints f[local::kFeatures];
        const Ints spread = features(base_.tables, kind_, bits_, around, mean, f);
        chunk.mean.all() = mean;
        chunk.miss.all() =
            (magnitude(around.error[0]) + magnitude(around.error[1]) + magnitude(around.error[2]) + magnitude(around.error[3])) >> 2;
        chunk.features.set(f);
        if (blind) {
            chunk.spread.all() = spread;
            return;
        }
        const Ints shift = excess(spread), within = spread - 4 * shift;
        const Ints highest = (Ints{} + plane_.top) >> shift;
        const Ints centre = least((mean + 32) >> (6 + shift), highest);
        const Ints base = least(most(centre - kWindow / 2, Ints{}), most(highest - (kWindow - 1), Ints{}));
        chunk.spread.all() = within;
        w.shift.all() = shift, w.base.all() = base, w.symbols.all() = least(highest + 1, Ints{} + kWindow);
        if (base_.layers == 0) {
            layers.only(base_, kind_, f, chunk.features);
            if (learning) layers.part_lanes(base_);
        } else {
            layers.begin(base_, kind_, f, chunk.features, nullptr);
            for (int n = 0; n < base_.layers; ++n) layers.hidden_layer(base_, n);
            layers.end(base_);
        }
        if (learning) layers.pair_lanes(base_, chunk.features, chunk.inputs);
        Ints out[3 * local::kMaxComponents];
        layers.outputs(base_, kind_, head_.layer.weights(), head_.layer.bias(), out);
        const Ints inside = ((mean + 32) >> shift) - 32 - 64 * base;
        local::with_components(base_.components, [&](auto j) {
            local::make_mixtures<decltype(j)::value>(base_.tables, {kFinest, model_.inverse.data()}, inside, within, out, decoding, mix_,
                                                     k);
        });
    }

    // Takes the samples of the lanes: their symbols and what those leave.
    void read(std::size_t k, const std::uint16_t* plane) {
        Wide& w = wide[k];
        Row x;
        x.all() = Ints{};
        each_active(k, [&](int l, std::size_t pixel) { x.v[l] = plane[pixel]; });
        const Ints v = (x.all() >> w.shift.all()) - w.base.all();
        const Ints z = most(least(v, w.symbols.all() - 1), Ints{});
        group_.samples[k].all() = z;
        w.far.all() = v - z;
        w.low.all() = x.all() - ((v + w.base.all()) << w.shift.all());
    }

    // The samples of the lanes, from their symbols and the rest; 0 where a lane has none, whose numbers are anything.
    Ints samples(std::size_t k) const {
        const Wide& w = wide[k];
        const Ints active = group_.chunks[k].lanes.active.all();
        const Ints high = (w.base.all() + group_.samples[k].all() + w.far.all()) & active;
        return (high << w.shift.all()) + (w.low.all() & active);
    }

    // The pixel of a lane, in raster order.
    std::int64_t pixel_of(std::size_t k, int lane) const {
        const local::Lanes& lanes = group_.chunks[k].lanes;
        return static_cast<std::int64_t>(lanes.y.v[lane]) * lanes.width.v[lane] + lanes.x.v[lane];
    }

    // Puts the samples into the plane; returns whether none is too large.
    bool write(std::size_t k, std::uint16_t* plane) const {
        Row x;
        x.all() = samples(k);
        each_active(k, [&](int l, std::size_t pixel) { plane[pixel] = static_cast<std::uint16_t>(x.v[l]); });
        return !any((x.all() > plane_.top) & group_.chunks[k].lanes.active.all());
    }

    // Once the samples x are known; the intervals of their symbols go to `to`, if it is given.
    void absorb(std::size_t k, Ints x, bool learning, int worker, const Symbols::Place* to) {
        local::Chunk& chunk = group_.chunks[k];
        const local::Lanes& lanes = chunk.lanes;
        const Ints active = lanes.active.all();
        const Ints error = (kHeight * x - chunk.mean.all()) & active;
        sample_.at(chunk.time, k).all() = x, error_.at(chunk.time, k).all() = error;
        if (kept_samples_) kept_samples_->at(chunk.time, k).all() = x, kept_errors_->at(chunk.time, k).all() = error;
        const Floats miss = __builtin_convertvector(chunk.miss.all(), Floats);
        const Floats weight = most(1572864.0f / (24576.0f + miss * miss), Floats{} + 1.0f);
        Ints& slow = chunk.slow_row[0].all();
        slow = slow + magnitude(error) - (slow >> 4);
        const Ints above = lanes.above_slow(slow_);
        slow_.at(chunk.time, k).all() = above + slow - (above >> 3);
        const int place = chunk.time % local::kCell;
        Cell& cell = wide[k].cell;
        cell.at(place, kTarget) = __builtin_convertvector(x - chunk.middle.all(), Floats);
        cell.weight[place].all() = reinterpret_cast<Ints>(weight) & active;
        if (place == local::kCell - 1)
            for (int q = 0; q < used_predictors(); ++q) end_cell(predictors_.layout[q], k);
        if (to || learning)
            local::with_components(base_.components,
                                   [&](auto j) { learn_from<decltype(j)::value>(k, learning, worker, to); });
    }

    void begin_step() { head_.layer.begin_step(); }
    // One of the kParts parts of the step of the last layer.
    void learn_part(int part) {
        const int rows = head_.layer.rows(), each = (rows + kParts - 1) / kParts;
        head_.layer.learn(part * each, smaller((part + 1) * each, rows), head_.sums);
    }

    Buffer<Wide> wide;  // of each chunk

  private:
    int used_predictors() const { return predictors_.alike ? 1 : kPredictors; }

    void look_around(std::size_t k, Surroundings& to) {
        const local::Chunk& chunk = group_.chunks[k];
        const local::Lanes& lanes = chunk.lanes;
        lanes.with_look([&](auto look) {
            const auto near = [&](const local::Recent& of, int i) { return look(of, lanes.at[i], lanes.index[i]); };
            for (int i = 0; i < local::kOwn; ++i) to.own[i] = near(sample_, i);
            for (int i = 0; i < 6; ++i) to.error[i] = near(error_, i);
            to.slow = ((look(slow_, lanes.slow_near, lanes.slow_near_index) + 4 * chunk.slow_row[0].all()) >> 4) + 64;
        });
        if (kind_ == 0) return;
        wide[k].around.with_look([&](auto look) {
            for (int n = 0; n < kind_; ++n) {
                for (int i = 0; i < kAround; ++i) to.other[n][i] = look(*references_[n].samples, i);
                for (int i = 0; i < 3; ++i) to.other_error[n][i] = look(*references_[n].errors, i);
            }
        });
    }

    // The predictions of both predictors, by least squares; and this pixel's share in the cell.
    BBCODEC_INLINE void guess(std::size_t k, Surroundings& around) {
        local::Chunk& chunk = group_.chunks[k];
        Cell& cell = wide[k].cell;
        const int place = chunk.time % local::kCell;
        const auto difference = [](Ints v, Ints from) { return __builtin_convertvector(v - from, Floats); };
        const Ints middle = (around.own[0] + around.own[1]) >> 1;
        if (plane_.phased) {
            const local::Lanes& lanes = chunk.lanes;
            const Ints phase = 2 * (lanes.y.all() & 1) + (lanes.x.all() & 1);
            for (int i = 0; i < predictors_.own; ++i) {
                const Ints d = reinterpret_cast<Ints>(difference(around.own[i], middle));
                for (int f = 0; f < kPhases; ++f)
                    cell.at(place, f * kMaxPhased + i) = reinterpret_cast<Floats>(d & (phase == f));
            }
        } else {
            for (int i = 0; i < predictors_.own; ++i) cell.at(place, i) = difference(around.own[i], middle);
        }
        for (int n = 0; n < kind_; ++n) {
            const Ints* other = around.other[n];
            const Ints other_middle = (other[1] + other[2]) >> 1;
            for (int i = 0; i < predictors_.around; ++i)
                cell.at(place, kOwnPlaces + n * kAround + i) = difference(other[i], other_middle);
        }
        const float limit = static_cast<float>(kHeight * plane_.top);
        for (int q = 0; q < used_predictors(); ++q) {
            const Layout& layout = predictors_.layout[q];
            Floats* w = reinterpret_cast<Floats*>(&chunk.weights[layout.place]);
            if (place == 0) begin_cell(layout, chunk, w);
            Floats v = (predicted(layout, w, cell, place) + __builtin_convertvector(middle, Floats)) * 64.0f + 0.5f;
            v = v >= 0.0f ? v : Floats{};
            v = v <= limit ? v : Floats{} + limit;
            around.guess[q] = __builtin_convertvector(v, Ints);
        }
        if (predictors_.alike) around.guess[1] = around.guess[0];
        chunk.middle.all() = middle;
    }

    // The column's sums that come from elsewhere, the row's that begin, and the weights for them.
    void begin_cell(const Layout& layout, local::Chunk& chunk, Floats* w) const {
        Row *row = &chunk.row[layout.offset], *column = &chunk.column[layout.offset];
        for (std::size_t n = 1; n < chunk.from.size(); ++n) {
            const std::int32_t* from = sums_from(layout, chunk, chunk.from[n]);
            const Ints here = kLaneNumbers == chunk.from[n].lane;
            for (int e = 0; e < layout.size; ++e) column[e].all() = here ? Ints{} + from[e] : column[e].all();
        }
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int e = 0; e < layout.size; ++e) row[e].all() &= ~begun;
        const local::Joint& first = chunk.from[0];  // a chunk has one
        fit(layout, row, column, first.lane, sums_from(layout, chunk, first), base_.ridge, w);
    }

    const std::int32_t* sums_from(const Layout& layout, const local::Chunk& chunk, const local::Joint& joint) const {
        return chunk.lanes.y.v[joint.lane] > 0 ? joint.sums + layout.offset : model_.zeros.data();
    }

    void end_cell(const Layout& layout, std::size_t k) {
        local::Chunk& chunk = group_.chunks[k];
        Row* column = &chunk.column[layout.offset];
        remember(layout, wide[k].cell, &chunk.row[layout.offset], column, chunk.beyond + layout.offset);
        for (const local::Joint& joint : chunk.to)
            for (int e = 0; e < layout.size; ++e) joint.sums[layout.offset + e] = column[e].v[joint.lane + 1];
    }

    // Intervals of the symbols, and the lanes' gradients.
    template <int J>
    void learn_from(std::size_t k, bool learning, int worker, const Symbols::Place* to) {
        local::Chunk& chunk = group_.chunks[k];
        const Ints sig = look_up(base_.tables.sig.data(), chunk.spread.all());
        Half first[2], size[2], y[2][3 * J];
        const local::Mix<J> mix = local::mix_of<J>(mix_, k);
        for (int h = 0; h < 2; ++h)
            local::weigh(base_.tables, local::exact(mix, h), half(sig, h), half(group_.samples[k].all(), h),
                         half(wide[k].symbols.all(), h), learning, first[h], size[h], y[h]);
        if (to) {
            Row begin, length;
            begin.all() = join(first[0], first[1]), length.all() = join(size[0], size[1]);
            for (int l = 0; l < kChunk; ++l)
                if (chunk.lanes.active.v[l]) {
                    const std::int32_t i = group_.order[k * kChunk + l];
                    to->start[i] = static_cast<std::uint32_t>(begin.v[l]), to->freq[i] = static_cast<std::uint32_t>(length.v[l]);
                    if (to->pixel) to->pixel[i] = pixel_of(k, l);
                }
        }
        if (!learning) return;
        ShortRow gradients[3 * J];
        for (int i = 0; i < 3 * J; ++i)
            gradients[i].all() = __builtin_convertvector(join(y[0][i], y[1][i]) & chunk.lanes.active.all(), Shorts);
        local::outer_products(chunk.inputs, base_.hidden + local::used_features(kind_), gradients, 3 * J,
                              reinterpret_cast<std::int32_t(*)[local::kMaxInputs]>(head_.sums[worker].data()));
    }

    const Model& model_;
    const local::Model& base_;
    const Plane plane_;
    const int kind_;
    const Predictors& predictors_;
    const Reference* references_;
    Head& head_;
    History *kept_samples_, *kept_errors_;
    const local::Shape shape_;
    local::Group group_;
    int bits_ = 0;  // of the largest sample
    local::Recent sample_, error_, slow_;
    local::Mixtures mix_;
};

}  // namespace
}  // namespace bbcodec::deep

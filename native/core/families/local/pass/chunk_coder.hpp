// SPDX-License-Identifier: Apache-2.0
// What is done with the lanes of a chunk at a time: prediction, and what the samples teach. docs/local.md defines it.
// Floats and doubles are never contracted, so that every target gives the same numbers.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr double kWeightUnit = 1572864;  // for a largest weight of 64
constexpr int kCodingOrder[kChannels] = {1, 0, 2};
constexpr int kParts = 2;  // of a step of learning, to be shared out

// What a pass is for.
struct Mode {
    bool blind = false;     // without the network
    bool decoding = false;  // mixtures are searched
    bool counting = false;  // statistics are wanted
    bool sparse = false;    // some pixels are not predicted: the lanes that are not `open`
};

class ChunkCoder {
  public:
    ChunkCoder(const PassJob& job, int workers)
        : model_(*job.model),
          channels_(job.channels),
          group_(job, last_state().offset + last_state().size, last_state().place + last_state().terms, job.model->prior.data()),
          sides_(model_, job.side, group_.chunks) {
        mode_.counting = model_.latents;
        const std::size_t chunks = group_.chunks.size();
        for (int c = 0; c < channels_; ++c) {
            sample_[c].resize(chunks, 128), error_[c].resize(chunks, 1280), slow_[c].resize(chunks, 0);
            layer_[c] = LastLayer(model_, c);
            sums_[c].resize(static_cast<std::size_t>(workers));
            for (Buffer<std::int32_t>& sums : sums_[c]) sums.resize(static_cast<std::size_t>(layer_[c].rows()) * kMaxInputs);
            for (int q = 0; q < kPredictors; ++q) {
                remember_[c][q] = remember_for<true>(model_.state[c][q]);
                remember_open_[c][q] = remember_for<false>(model_.state[c][q]);
            }
        }
        mix_.resize(model_.components, chunks);
        if (model_.latents)
            for (Chunk& chunk : group_.chunks) chunk.statistics.resize(kStatistics);
    }

    const Model& model() const { return model_; }
    int channels() const { return channels_; }
    Group& group() { return group_; }
    const Group& group() const { return group_; }
    const Mixtures& mixtures() const { return mix_; }
    Mode& mode() { return mode_; }

    void begin(int t) {
        time_ = t;
        group_.list_lanes(t);
    }

    // Whether the last layers take a step after this time.
    bool learns() const { return learns_at(time_) && group_.count > 0; }

    void begin_step(int c) { layer_[c].begin_step(); }
    // One of the kParts parts of the step of a channel's last layer.
    void learn_part(int c, int part) {
        const int rows = layer_[c].rows(), each = (rows + kParts - 1) / kParts;
        layer_[c].learn(part * each, smaller((part + 1) * each, rows), sums_[c]);
    }

    // Brings the chunk's lanes to time t; false if it has none.
    bool enter(std::size_t k, int t) {
        Chunk& chunk = group_.chunks[k];
        chunk.time = t;
        chunk.lanes.advance(t);
        if (!chunk.lanes.busy) return false;
        chunk.lanes.look(t, k, group_.chunks.size());
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int c = 0; c < channels_; ++c) chunk.slow_row[c].all() &= ~begun;
        chunk.open = chunk.lanes.active;
        sides_.tell(chunk);
        return true;
    }

    template <typename F>
    void each_active(std::size_t k, F f) {
        const Lanes& lanes = group_.chunks[k].lanes;
        for (int l = 0; l < kChunk; ++l)
            if (lanes.active.v[l]) f(l, static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l]);
    }

    std::size_t sample_at(std::size_t pixel, int c) const { return pixel * channels_ + (channels_ == 3 ? kCodingOrder[c] : 0); }

    // Takes the samples of channel c from the blocks.
    void read(int c, std::size_t k, const std::uint8_t* const* blocks) {
        Chunk& chunk = group_.chunks[k];
        each_active(
            k, [&](int l, std::size_t pixel) { group_.samples[k].v[l] = blocks[chunk.lanes.block[l]][sample_at(pixel, c)]; });
    }

    // Puts the samples of channel c into the blocks.
    void write(int c, std::size_t k, std::uint8_t* const* blocks) const {
        const Lanes& lanes = group_.chunks[k].lanes;
        Row pixel;
        pixel.all() = lanes.y.all() * lanes.width.all() + lanes.x.all();
        const bool all = !any(~lanes.active.all());
        for (int l = 0; l < kChunk; ++l)
            if (all || lanes.active.v[l])
                blocks[lanes.block[l]][sample_at(static_cast<std::uint32_t>(pixel.v[l]), c)] =
                    static_cast<std::uint8_t>(group_.samples[k].v[l]);
    }

    // Where not every pixel is predicted, before the first pixels of cells: brings the column's sums and begins the row's.
    void begin_cells(std::size_t k) {
        Chunk& chunk = group_.chunks[k];
        chunk.cell_open.all() = Ints{};
        for (int c = 0; c < channels_; ++c) {
            chunk.fitted[c] = false;
            for (int q = 0; q < predictors(c); ++q) {
                const StateLayout& layout = model_.state[c][q];
                begin_sums(layout, chunk);
                const std::int32_t* from = sums_from(layout, chunk, chunk.from[0]);
                for (int e = 0; e < layout.size; ++e) chunk.column[layout.offset + e].v[chunk.from[0].lane] = from[e];
            }
        }
    }

    // Takes the lanes that are not predicted out; returns whether others are left.
    bool open_lanes(std::size_t k, Ints found) {
        Chunk& chunk = group_.chunks[k];
        chunk.open.all() = chunk.lanes.active.all() & ~found;
        chunk.cell_open.all() |= chunk.open.all();
        return any(chunk.open.all());
    }

    // From what is known around the lanes of chunk k to the mixtures of channel c.
    void predict(int c, std::size_t k, Layers& layers) {
        Chunk& chunk = group_.chunks[k];
        Surroundings around;
        look_around(c, k, around);
        guess(c, chunk, around);
        const Ints mean = (around.guess[0] + around.guess[1]) >> 1;
        Ints f[kFeatures];
        const Ints spread = features(model_.tables, c, around, mean, f);
        chunk.mean.all() = mean, chunk.spread.all() = spread;
        chunk.miss.all() =
            (magnitude(around.error[0]) + magnitude(around.error[1]) + magnitude(around.error[2]) + magnitude(around.error[3])) >>
            2;
        chunk.features.set(f);
        if (mode_.blind) return;
        const bool simple = model_.layers == 0 && chunk.side.empty(), learning = learns_at(chunk.time);
        if (simple) {
            layers.only(model_, c, f, chunk.features);
            if (learning) layers.part_lanes(model_);
        } else {
            layers.begin(model_, c, f, chunk.features, chunk.side.empty() ? nullptr : chunk.side.data());
            for (int n = 0; n < model_.layers; ++n) layers.hidden_layer(model_, n);
            layers.end(model_);
        }
        if (learning) layers.pair_lanes(model_, chunk.features, chunk.inputs);
        Ints out[3 * kMaxComponents];
        layers.outputs(model_, c, layer_[c].weights(), layer_[c].bias(), out);
        with_components(model_.components, [&](auto j) {
            make_mixtures<decltype(j)::value>(model_.tables, {0, model_.tables.inverse.data()}, mean, spread, out, mode_.decoding, mix_, k);
        });
    }

    // Once the samples of the channel are known; their intervals go to start and freq, if wanted.
    void absorb(int c, std::size_t k, int worker, std::uint32_t* start, std::uint32_t* freq) {
        Chunk& chunk = group_.chunks[k];
        const Lanes& lanes = chunk.lanes;
        const Ints x = group_.samples[k].all(), open = chunk.open.all(), miss = chunk.miss.all();
        const Ints error = (64 * x - chunk.mean.all()) & open;
        sample_[c].at(chunk.time, k).all() = x, error_[c].at(chunk.time, k).all() = error;
        const auto weight = [&](int h) { return truncated(kWeightUnit / to_doubles(half(24576 + miss * miss, h))); };
        const Ints w = most(join(weight(0), weight(1)), Ints{} + 1) & open;
        Ints& slow = chunk.slow_row[c].all();
        slow = slow + magnitude(error) - (slow >> 4);
        const Ints above = lanes.above_slow(slow_[c]);
        slow_[c].at(chunk.time, k).all() = above + slow - (above >> 3);
        const int place = chunk.time % kCell;
        chunk.cell[c].put_target(place, x - chunk.middle.all(), w);
        if (place == kCell - 1) end_cells(c, chunk);
        if (mode_.counting) count(c, error, chunk);
        if (!mode_.blind && (start || learns()))
            with_components(model_.components, [&](auto j) { learn_from<decltype(j)::value>(c, k, worker, start, freq); });
    }

    // The same for a chunk whose pixels were all found without prediction.
    void absorb_found(int c, std::size_t k) {
        Chunk& chunk = group_.chunks[k];
        sample_[c].at(chunk.time, k).all() = group_.samples[k].all(), error_[c].at(chunk.time, k).all() = Ints{};
        Ints& slow = chunk.slow_row[c].all();
        slow = slow - (slow >> 4);
        const Ints above = chunk.lanes.above_slow(slow_[c]);
        slow_[c].at(chunk.time, k).all() = above + slow - (above >> 3);
        const int place = chunk.time % kCell;
        chunk.cell[c].put_target(place, Ints{}, Ints{});
        if (place == kCell - 1) end_cells(c, chunk);
    }

    void add_statistics(std::int64_t* sums) const {
        for (const Chunk& chunk : group_.chunks)
            for (std::size_t i = 0; i < chunk.statistics.size(); ++i)
                for (int l = 0; l < kChunk; ++l) sums[chunk.lanes.block[l] * kStatistics + i] += chunk.statistics[i].v[l];
    }

    void clear_statistics() {
        for (Chunk& chunk : group_.chunks) chunk.statistics.fill(Row());
    }

  private:
    const StateLayout& last_state() const { return model_.state[channels_ - 1][kPredictors - 1]; }
    int predictors(int c) const { return model_.alike[c] ? 1 : kPredictors; }
    bool learns_at(int t) const { return model_.rate != 0 && !mode_.blind && t % model_.every == 0; }

    void look_around(int c, std::size_t k, Surroundings& to) {
        const Chunk& chunk = group_.chunks[k];
        const Lanes& lanes = chunk.lanes;
        lanes.with_look([&](auto look) {
            const auto near = [&](const Recent& of, int i) { return look(of, lanes.at[i], lanes.index[i]); };
            for (int i = 0; i < kOwn; ++i) to.own[i] = near(sample_[c], i);
            for (int i = 0; i < 6; ++i) to.error[i] = near(error_[c], i);
            for (int n = 0; n < c; ++n) {
                to.other[n][0] = sample_[n].at(chunk.time, k).all(), to.other_error[n][0] = error_[n].at(chunk.time, k).all();
                for (int i = 1; i < kEarlier; ++i) to.other[n][i] = near(sample_[n], kEarlierAsOwn[i]);
                for (int i = 1; i < 3; ++i) to.other_error[n][i] = near(error_[n], i - 1);
            }
            to.slow = ((look(slow_[c], lanes.slow_near, lanes.slow_near_index) + 4 * chunk.slow_row[c].all()) >> 4) + 64;
        });
        to.alone = lanes.alone;
    }

    // The predictions of both predictors, by least squares; and this pixel's share in the cell.
    BBCODEC_INLINE void guess(int c, Chunk& chunk, Surroundings& around) {
        const int place = chunk.time % kCell;
        Floats d[kRegressors];
        const auto regressors = [&](int first, const Ints* samples, Ints from, int n) {
            Ints v[kOwn];
            for (int i = 0; i < n; ++i) v[i] = samples[i] - from, d[first + i] = __builtin_convertvector(v[i], Floats);
            chunk.cell[c].put(place, first, v, n);
        };
        const Ints middle = (around.own[0] + around.own[1]) >> 1;
        regressors(0, around.own, middle, model_.used_own);
        for (int n = 0; n < c; ++n) {
            const Ints* other = around.other[n];
            const Ints other_middle = (other[1] + other[2]) >> 1;
            regressors(kOwn + n * kEarlier, other, other_middle, model_.used_earlier);
        }
        for (int q = 0; q < predictors(c); ++q) {
            const StateLayout& layout = model_.state[c][q];
            Floats* w = reinterpret_cast<Floats*>(&chunk.weights[layout.place]);
            if (mode_.sparse ? !chunk.fitted[c] : place == 0) begin_cell(layout, chunk, w);
            Floats v = (predicted(layout, w, d) + __builtin_convertvector(middle, Floats)) * 64.0f + 0.5f;
            v = v >= 0.0f ? v : Floats{};
            v = v <= 16320.0f ? v : Floats{} + 16320.0f;
            around.guess[q] = __builtin_convertvector(v, Ints);
        }
        chunk.fitted[c] = true;
        if (model_.alike[c]) around.guess[1] = around.guess[0];
        chunk.middle.all() = middle;
    }

    // The column's sums that come from elsewhere, the row's that begin, and the weights for them.
    void begin_cell(const StateLayout& layout, Chunk& chunk, Floats* w) const {
        const Joint& first = chunk.from[0];  // a chunk has one
        if (!mode_.sparse) begin_sums(layout, chunk);
        fit(layout, &chunk.row[layout.offset], &chunk.column[layout.offset], mode_.sparse ? kChunk : first.lane,
            sums_from(layout, chunk, first), model_.ridge, w);
    }

    const std::int32_t* sums_from(const StateLayout& layout, const Chunk& chunk, const Joint& joint) const {
        return (chunk.lanes.y.v[joint.lane] > 0 ? joint.sums : model_.prior.data()) + layout.offset;
    }

    // All but those of the first joint.
    void begin_sums(const StateLayout& layout, Chunk& chunk) const {
        Row *row = &chunk.row[layout.offset], *column = &chunk.column[layout.offset];
        for (std::size_t n = 1; n < chunk.from.size(); ++n) {
            const std::int32_t* from = sums_from(layout, chunk, chunk.from[n]);
            const Ints here = kLaneNumbers == chunk.from[n].lane;
            for (int e = 0; e < layout.size; ++e) column[e].all() = here ? Ints{} + from[e] : column[e].all();
        }
        const Ints begun = chunk.lanes.x.all() == 0;
        if (any(begun))
            for (int e = 0; e < layout.size; ++e) row[e].all() &= ~begun;
    }

    void end_cells(int c, Chunk& chunk) const {
        for (int q = 0; q < predictors(c); ++q) end_cell(c, q, chunk);
    }

    void end_cell(int c, int q, Chunk& chunk) const {
        const StateLayout& layout = model_.state[c][q];
        Row* column = &chunk.column[layout.offset];
        Row* row = &chunk.row[layout.offset];
        std::int32_t* beyond = chunk.beyond + layout.offset;
        const Ints open = chunk.cell_open.all();
        if (!mode_.sparse)
            remember_[c][q](layout, chunk.cell[c], open, row, column, beyond);
        else if (any(open))
            remember_open_[c][q](layout, chunk.cell[c], open, row, column, beyond);
        else
            pass_on(layout, column, beyond);
        for (const Joint& joint : chunk.to)
            for (int e = 0; e < layout.size; ++e) joint.sums[layout.offset + e] = column[e].v[joint.lane + 1];
    }

    // Adds the lanes' samples to the statistics of their blocks.
    void count(int c, Ints error, Chunk& chunk) const {
        const Ints active = chunk.lanes.active.all();
        const Ints n = clamp((error * look_up(model_.tables.r1.data(), chunk.spread.all()) + 8192) >> 14, -72, 72) & active;
        const Ints moments[kMoments] = {n & 0xffff, magnitude(n), (magnitude(n) <= 7) & 24 & active};  // one of a pair
        Row* sums = &chunk.statistics[static_cast<std::size_t>(c) * kMoments * (kFeatures + 1)];
        const auto add = [&](int i, Ints term) {
            for (int m = 0; m < kMoments; ++m) {
                Ints& sum = sums[m * (kFeatures + 1) + i].all();
                sum = dot_pairs(sum, moments[m], term);
            }
        };
        add(0, Ints{} + 32);
        for (int i = 0; i < kFeatures; ++i) add(1 + i, chunk.features.feature(i));
    }

    // Intervals of the samples, and the lanes' gradients.
    template <int J>
    void learn_from(int c, std::size_t k, int worker, std::uint32_t* start, std::uint32_t* freq) {
        Chunk& chunk = group_.chunks[k];
        const bool learn = learns();
        const Ints sig = look_up(model_.tables.sig.data(), chunk.spread.all());
        Half first[2], size[2], y[2][3 * J];
        const Mix<J> mix = mix_of<J>(mix_, k);
        for (int h = 0; h < 2; ++h)
            weigh(model_.tables, exact(mix, h), half(sig, h), half(group_.samples[k].all(), h), kSymbols, learn, first[h], size[h], y[h]);
        if (start) {
            Row begin, length;
            begin.all() = join(first[0], first[1]), length.all() = join(size[0], size[1]);
            for (int l = 0; l < kChunk; ++l)
                if (chunk.lanes.active.v[l]) {
                    const std::int32_t i = group_.order[k * kChunk + l];
                    start[i] = static_cast<std::uint32_t>(begin.v[l]), freq[i] = static_cast<std::uint32_t>(length.v[l]);
                }
        }
        if (!learn) return;
        ShortRow gradients[3 * J];
        for (int i = 0; i < 3 * J; ++i)
            gradients[i].all() = __builtin_convertvector(join(y[0][i], y[1][i]) & chunk.open.all(), Shorts);
        outer_products(chunk.inputs, model_.hidden + used_features(c), gradients, 3 * J,
                       reinterpret_cast<std::int32_t(*)[kMaxInputs]>(sums_[c][worker].data()));
    }

    const Model& model_;
    const int channels_;
    Group group_;
    Sides sides_;
    Mode mode_;
    int time_ = 0;
    Recent sample_[kChannels], error_[kChannels], slow_[kChannels];
    Remember remember_[kChannels][kPredictors], remember_open_[kChannels][kPredictors];
    Mixtures mix_;
    LastLayer layer_[kChannels];
    Buffer<Buffer<std::int32_t>> sums_[kChannels];  // gradients, of each worker
};

}  // namespace
}  // namespace bbcodec::local

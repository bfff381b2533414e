// SPDX-License-Identifier: Apache-2.0
// Codes a group, as docs/loglinear.md defines it: which chunk is worked on when, and by which thread.
//
// Compiled once for each instruction set, from the same text. A file includes the header of its vectors first, and then
// this one; no include guard.
#include "families/local/pass/parts.hpp"
#include "families/loglinear/coder.hpp"
#include "pages.hpp"

// The order matters: these build on each other.
#include "families/loglinear/pass/layer.hpp"
#include "families/loglinear/pass/streams.hpp"
#include "families/loglinear/pass/terms.hpp"
#include "families/loglinear/pass/tree.hpp"

#include "families/loglinear/pass/pixels.hpp"

namespace bbcodec::loglinear {
namespace {

template <int N>
class GroupCoder final : public Coder {
  public:
    explicit GroupCoder(const Job& job)
        : layer_(*job.layer), crew_(job.base.threads), coder_(job.base, crew_.size()),
          layers_(static_cast<std::size_t>(crew_.size())) {
        const std::size_t slots = slots_of(job.base);
        streams_ = static_cast<int>(smaller<std::size_t>(kMaxStreams, larger<std::size_t>(1, slots / 32)));
        stream_of_.resize(group_.chunks.size() * kChunk);
        for (std::size_t slot = 0; slot < slots; ++slot) stream_of_[slot] = static_cast<std::uint8_t>(slot * streams_ / slots);
        std::size_t pixels = 0;
        for (std::size_t n = 0; n < job.base.blocks; ++n)
            pixels += static_cast<std::size_t>(job.base.shapes[n].height) * job.base.shapes[n].width;
        int bits = 12;
        while (bits < layer_.table_bits && std::size_t{1} << (bits - 2) < pixels) ++bits;
        for (int c = 0; c < coder_.channels(); ++c) {
            memory_[c].begin(layer_, coder_.channels() == 1 ? 3 : c, bits);
            traces_[c].resize(group_.chunks.size() * kChunk);
        }
        settings_.resize(group_.chunks.size() * kChunk), mixtures_.resize(group_.chunks.size() * kChunk);
        coder_.mode().counting = false;
        sparse_ = coder_.mode().sparse = job.neighbours >= 0;
        if (sparse_) pixels_.begin(layer_, job.base, group_.chunks.size() * kChunk, pixels, bits, job.neighbours);
    }

    int streams() const override { return streams_; }

    void encode(const std::uint8_t* const* blocks) override {
        writers_.resize(static_cast<std::size_t>(streams_));
        walk(blocks, writers_);
        spread(static_cast<std::size_t>(streams_), [&](std::size_t s, int) { writers_[s].finish(); });
    }

    Words words(int stream) const override { return writers_[static_cast<std::size_t>(stream)].words(); }

    void cost(const std::uint8_t* const* blocks, float* const* bits) override {
        Buffer<Counter> counters(static_cast<std::size_t>(streams_));
        costs_ = bits;
        walk(blocks, counters);
        costs_ = nullptr;
    }

    bool decode(std::uint8_t* const* blocks, const Words* words) override {
        Buffer<Reader> readers(static_cast<std::size_t>(streams_));
        for (int s = 0; s < streams_; ++s) readers[s].begin(words[s]);
        coder_.mode().decoding = false;  // mixtures are not searched
        for (int t = 0; t < group_.end; ++t) {
            begin(t, readers, [&](std::int32_t slot) { pixels_.put(slot, samples_at(slot, blocks)); });
            for (int c = 0; c < coder_.channels(); ++c) {
                spread(group_.chunks.size(), [&](std::size_t k, int) {
                    if (sparse_ && group_.chunks[k].lanes.busy) coder_.read(c, k, blocks);
                    prepare(c, k, blocks);
                });
                code_streams(c, readers);
                go_on(c, [&](std::size_t k) { coder_.write(c, k, blocks); });
            }
            learn(blocks);
            for (int s = 0; s < streams_; ++s)
                if (readers[s].failed()) return false;
        }
        for (int s = 0; s < streams_; ++s)
            if (!readers[s].done()) return false;
        return true;
    }

  private:
    static std::size_t slots_of(const local::PassJob& job) {
        std::size_t slots = 0;
        for (std::size_t n = 0; n < job.blocks; ++n)
            slots += smaller(job.shapes[n].height, (job.shapes[n].width + 2) / 3);
        return slots;
    }

    template <typename F>
    void spread(std::size_t tasks, F task) {
        if (crew_.size() == 1 || tasks < 2 || few_) {
            for (std::size_t i = 0; i < tasks; ++i) task(i, 0);
        } else {
            crew_.run(
                static_cast<std::uint32_t>(tasks), [&](int worker, std::uint32_t i) { task(i, worker); }, [] {});
        }
    }

    // Lists those lanes of the time that are wanted: in their order, and stream by stream.
    template <typename F>
    void list_streams(F wanted) {
        if (lanes_.size() < group_.lanes.size()) lanes_.resize(group_.lanes.size()), open_.resize(group_.lanes.size());
        std::size_t count[kMaxStreams + 1] = {};
        open_count_ = 0;
        for (std::size_t i = 0; i < group_.count; ++i) {
            const std::int32_t slot = group_.lanes[i];
            if (!wanted(slot)) continue;
            open_[open_count_++] = slot;
            ++count[stream_of_[slot] + 1];
        }
        first_[0] = 0;
        for (int s = 0; s < streams_; ++s) first_[s + 1] = first_[s] + count[s + 1];
        std::size_t at[kMaxStreams];
        for (int s = 0; s < streams_; ++s) at[s] = first_[s];
        for (std::size_t i = 0; i < open_count_; ++i) lanes_[at[stream_of_[open_[i]]]++] = open_[i];
    }

    // Begins a time: finds whole pixels if asked to, and predicts the first samples of the others.
    template <typename Bits, typename F>
    void begin(int t, Buffer<Bits>& streams, F found) {
        coder_.begin(t);
        few_ = false;
        list_streams([](std::int32_t) { return true; });
        if (!sparse_) {
            spread(group_.chunks.size(), [&](std::size_t k, int worker) {
                if (coder_.enter(k, t)) coder_.predict(0, k, layers_[worker]);
            });
            return;
        }
        spread(group_.chunks.size(), [&](std::size_t k, int) {
            if (!coder_.enter(k, t)) return;
            if (t % local::kCell == 0) coder_.begin_cells(k);
            const local::Lanes& lanes = group_.chunks[k].lanes;
            for (int l = 0; l < kChunk; ++l)
                if (lanes.active.v[l])
                    pixels_.look(static_cast<std::int32_t>(k * kChunk) + l, lanes.block[l], lanes.x.v[l], lanes.y.v[l], lanes.width.v[l]);
        });
        spread(static_cast<std::size_t>(streams_), [&](std::size_t s, int) {
            for (std::size_t i = first_[s]; i < first_[s + 1]; ++i) {
                const std::int32_t slot = lanes_[i];
                if (pixels_.code(layer_, slot, known_, streams[s])) found(slot);
                add_cost(slot, streams[s]);
            }
        });
        list_streams([&](std::int32_t slot) { return !pixels_.found(slot); });
        few_ = open_count_ < kFew;
        spread(group_.chunks.size(), [&](std::size_t k, int worker) {
            local::Chunk& chunk = group_.chunks[k];
            if (!chunk.lanes.busy) return;
            Row gone;
            for (int l = 0; l < kChunk; ++l) gone.v[l] = pixels_.found(static_cast<std::int32_t>(k * kChunk) + l) ? -1 : 0;
            if (coder_.open_lanes(k, gone.all())) coder_.predict(0, k, layers_[worker]);
        });
    }

    // Codes the samples of channel c that were not found.
    template <typename Bits>
    void code_streams(int c, Buffer<Bits>& streams) {
        spread(static_cast<std::size_t>(streams_), [&](std::size_t s, int) {
            for (std::size_t i = first_[s]; i < first_[s + 1]; ++i) {
                fetch(c, lanes_.data(), i + kAhead, first_[s + 1]);
                const std::int32_t slot = lanes_[i];
                code(c, slot, group_.samples[0].v[slot], streams[s]);
                add_cost(slot, streams[s]);
            }
        });
    }

    // Looks at what is known of the samples of channel c in a chunk.
    void prepare(int c, std::size_t k, const std::uint8_t* const* blocks) {
        const local::Chunk& chunk = group_.chunks[k];
        if (!chunk.lanes.busy || !any(chunk.open.all())) return;
        const int components = coder_.model().components;
        for (int l = 0; l < kChunk; ++l) {
            if (!chunk.open.v[l]) continue;
            const std::size_t slot = k * kChunk + static_cast<std::size_t>(l);
            const Picture picture{blocks[chunk.lanes.block[l]], chunk.lanes.width.v[l], coder_.channels()};
            const int x = chunk.lanes.x.v[l], y = chunk.lanes.y.v[l], mean = chunk.mean.v[l];
            std::int32_t terms[kTerms];
            set_terms(picture, c, x, y, mean, chunk.spread.v[l], terms);
            Trace<N>& trace = traces_[c][slot];
            trace.decisions = 0, trace.lines = 2;
            memory_[c].hash(terms, trace.hash, trace.base);
            const Setting setting = settings_[slot] = setting_for(c, clamp1((mean + 32) >> 6, 0, 255), terms[13]);
            for (int i = 0; i < 2; ++i) memory_[c].find(trace.hash, static_cast<std::uint32_t>(setting.middle - i), trace.line[i]);
            const int own = Setting::group(setting.middle), below = Setting::group(setting.middle - 1);
            trace.add_group(memory_[c], own);
            if (below != own) trace.add_group(memory_[c], below);
            const int above = Setting::group(setting.middle + 1);
            if (above != own && setting.middle + 1 < setting.places) trace.add_group(memory_[c], above);
            for (int i = 0; i < trace.lines; ++i) memory_[c].prefetch(trace.line[i]);
            Mixture& mixture = mixtures_[slot];
            mixture.components = components;
            const auto part = [&](int n) { return static_cast<double>(reinterpret_cast<const float*>(coder_.mixtures().at(k, n).v)[l]); };
            for (int j = 0; j < components; ++j) {
                mixture.weight[j] = part(j) * (1.0 / 16), mixture.mu[j] = part(components + j);
                mixture.inverse[j] = part(2 * components + j) * 8192.0;
            }
        }
    }

    // Codes the sample of channel c at a slot.
    template <typename Bits>
    void code(int c, std::int32_t slot, int wanted, Bits& bits) {
        Tree<N, Bits> tree(layer_, coder_.model().tables, memory_[c], mixtures_[slot], settings_[slot], traces_[c][slot], bits);
        group_.samples[0].v[slot] = tree.code(wanted);
    }

    // Codes known samples.
    template <typename Bits>
    void walk(const std::uint8_t* const* blocks, Buffer<Bits>& streams) {
        known_ = true;
        if (sparse_)
            for (std::size_t n = 0; n < group_.blocks.size(); ++n)
                pixels_.fill(n, blocks[n], static_cast<std::size_t>(group_.blocks[n].height) * group_.blocks[n].width);
        for (int t = 0; t < group_.end; ++t) {
            begin(t, streams, [](std::int32_t) {});
            for (int c = 0; c < coder_.channels(); ++c) {
                spread(group_.chunks.size(), [&](std::size_t k, int) { prepare(c, k, blocks), coder_.read(c, k, blocks); });
                code_streams(c, streams);
                go_on(c, [](std::size_t) {});
            }
            learn(blocks);
        }
    }

    void add_cost(std::int32_t, Writer&) {}
    void add_cost(std::int32_t, Reader&) {}
    void add_cost(std::int32_t slot, Counter& counter) {
        const local::Lanes& lanes = group_.chunks[static_cast<std::size_t>(slot) / kChunk].lanes;
        const int l = slot % kChunk;
        costs_[lanes.block[l]][static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l]] +=
            static_cast<float>(counter.take());
    }

    // After the samples of channel c: its tables learn, beside what the samples say of the next channel. Calls before(chunk) first.
    template <typename F>
    void go_on(int c, F before) {
        const bool more = c + 1 < coder_.channels();
        spread(1 + group_.chunks.size(), [&](std::size_t i, int worker) {
            if (i == 0) return learn(c);
            const std::size_t k = i - 1;
            if (!group_.chunks[k].lanes.busy) return;
            before(k);
            if (!any(group_.chunks[k].open.all())) return coder_.absorb_found(c, k);
            coder_.absorb(c, k, worker, nullptr, nullptr);
            if (more) coder_.predict(c + 1, k, layers_[worker]);
        });
    }

    // The tables of channel c learn from the samples of all lanes.
    void learn(int c) {
        for (std::size_t i = 0; i < open_count_; ++i) {
            fetch(c, open_.data(), i + kAhead, open_count_);
            memory_[c].learn(layer_, traces_[c][open_[i]]);
        }
    }

    // What is known of whole pixels, and the network's last layers, learn from the samples of a time.
    template <typename Sample>
    void learn(Sample* const* blocks) {
        if (sparse_) learn_pixels(blocks);
        if (!coder_.learns() || !open_count_) return;
        const int channels = coder_.channels();
        for (int c = 0; c < channels; ++c) coder_.begin_step(c);
        spread(static_cast<std::size_t>(channels * local::kParts), [&](std::size_t i, int) {
            coder_.learn_part(static_cast<int>(i) / local::kParts, static_cast<int>(i) % local::kParts);
        });
    }

    template <typename Sample>
    void learn_pixels(Sample* const* blocks) {
        for (std::size_t i = 0; i < group_.count; ++i) {
            const std::int32_t slot = group_.lanes[i];
            pixels_.learn(layer_, slot, samples_at(slot, blocks));
        }
    }

    // The samples of the pixel of a slot.
    template <typename Sample>
    Sample* samples_at(std::int32_t slot, Sample* const* blocks) const {
        const local::Lanes& lanes = group_.chunks[static_cast<std::size_t>(slot) / kChunk].lanes;
        const int l = slot % kChunk;
        const std::size_t pixel = static_cast<std::size_t>(lanes.y.v[l]) * lanes.width.v[l] + lanes.x.v[l];
        return blocks[lanes.block[l]] + pixel * coder_.channels();
    }

    // Brings the lines of a lane near, if there is such a lane.
    void fetch(int c, const std::int32_t* lanes, std::size_t lane, std::size_t end) const {
        if (lane >= end) return;
        const Trace<N>& trace = traces_[c][lanes[lane]];
        for (int i = 0; i < trace.lines; ++i) memory_[c].prefetch(trace.line[i]);
    }

    static constexpr std::size_t kAhead = 3;  // lanes
    static constexpr std::size_t kFew = 24;   // lanes that are coded sooner than threads are told to

    const Layer& layer_;
    Crew crew_;
    local::ChunkCoder coder_;
    local::Group& group_ = coder_.group();
    Buffer<local::Layers> layers_;  // of each worker
    int streams_ = 1;
    Buffer<std::uint8_t> stream_of_;  // of each slot
    Buffer<std::int32_t> lanes_;      // slots of the lanes that are not found, stream by stream
    Buffer<std::int32_t> open_;       // the same in their order
    std::size_t open_count_ = 0;
    std::size_t first_[kMaxStreams + 1] = {};
    Memory<N> memory_[local::kChannels];
    Buffer<Trace<N>> traces_[local::kChannels];  // of each slot
    Buffer<Setting> settings_;
    Buffer<Mixture> mixtures_;
    bool sparse_ = false, known_ = false;
    bool few_ = false;  // lanes are predicted at this time: one thread does
    Pixels pixels_;
    Buffer<Writer> writers_;
    float* const* costs_ = nullptr;
};

Coder* make_group_coder(const Job& job) {
    switch (job.layer->contexts) {
        case 8: return new GroupCoder<8>(job);
        case 12: return new GroupCoder<12>(job);
        case 16: return new GroupCoder<16>(job);
        case 24: return new GroupCoder<24>(job);
        default: return new GroupCoder<32>(job);
    }
}

}  // namespace
}  // namespace bbcodec::loglinear

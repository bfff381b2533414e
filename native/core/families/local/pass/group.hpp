// SPDX-License-Identifier: Apache-2.0
// The blocks of a group as chunks of lanes, and the lanes that are coded at a time.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// A lane whose column sums come from another chunk, or from the end of its block.
struct Joint {
    int lane = 0;
    std::int32_t* sums = nullptr;  // what the other lane left
};

struct Chunk {
    Lanes lanes;
    int time = 0;
    Buffer<Joint> from, to;
    std::int32_t* beyond = nullptr;  // place for the column sums of the last lane
    Buffer<Row> row, column;         // F and G
    Buffer<Row> weights;             // floats
    Cell cell[kChannels];
    Row open, cell_open;             // lanes whose pixels are predicted, now and in this cell so far: -1 or 0
    bool fitted[kChannels] = {};     // in this cell, where not every pixel is predicted
    Row slow_row[kChannels];                // h
    Buffer<std::int32_t> block_side, side;  // [lanes][H]: of the block alone; with that of the place
    Buffer<Row> statistics;                 // [kStatistics]
    // For the current channel:
    Row middle, mean, miss, spread;
    Quads features;
    LanePairs inputs;
};

// The slots of all blocks follow each other; kChunk of them are a chunk.
class Group {
  public:
    // A lane has `used` numbers of least-squares state, which start as prior [used], and `weights` weights.
    Group(const PassJob& job, std::size_t used, std::size_t weights, const std::int32_t* prior)
        : blocks(job.blocks), first_slot_(job.blocks + 1) {
        std::size_t slots = 0;
        for (std::size_t n = 0; n < blocks.size(); ++n) {
            const Shape& b = blocks[n] = job.shapes[n];
            first_slot_[n] = slots;
            slots += smaller(b.height, (b.width + 2) / 3);
            end = larger(end, b.width + 3 * (b.height - 1));
        }
        first_slot_[blocks.size()] = slots;
        chunks.resize((slots + kChunk - 1) / kChunk), samples.resize(chunks.size());
        lanes.resize(slots + kChunk), order.resize(chunks.size() * kChunk);
        in_order.resize(chunks.size()), needed.resize(chunks.size());
        place_lanes();
        join_lanes(used, weights, prior);
    }

    // Lists the lanes of time t in their order.
    void list_lanes(int t) {
        count = 0;
        for (std::size_t n = 0; n < blocks.size(); ++n) {
            const Shape& b = blocks[n];
            const int first = t < b.width ? 0 : (t - b.width) / 3 + 1, last = smaller(b.height - 1, t / 3);
            if (first > last) continue;
            const std::size_t slots = first_slot_[n + 1] - first_slot_[n];
            std::size_t slot = first_slot_[n] + first % slots;
            for (int y = first; y <= last; ++y, ++count) {
                lanes[count] = static_cast<std::int32_t>(slot);
                order[slot] = static_cast<std::int32_t>(count);
                if (++slot == first_slot_[n + 1]) slot = first_slot_[n];
            }
        }
    }

    // Lists all chunks: first those without lanes, then the others in the order of their last lanes.
    void list_chunks() {
        std::size_t listed = 0;
        needed.fill(0);
        for (std::size_t i = 0; i < count; ++i) needed[lanes[i] / kChunk] = i + 1;
        for (std::size_t k = 0; k < chunks.size(); ++k)
            if (!needed[k]) in_order[listed++] = k;
        for (std::size_t i = 0; i < count; ++i)
            if (needed[lanes[i] / kChunk] == i + 1) in_order[listed++] = lanes[i] / kChunk;
    }

    Buffer<Shape> blocks;
    int end = 0;  // number of times
    Buffer<Chunk> chunks;
    Buffer<Row> samples;  // of each chunk, for the current channel
    // For the current time:
    std::size_t count = 0;                 // lanes
    Buffer<std::int32_t> lanes, order;     // slots of the lanes; place of each slot among the lanes
    Buffer<std::size_t> in_order, needed;  // chunks; number of lanes to pop before each chunk

  private:
    void place_lanes() {
        for (std::size_t k = 0; k < chunks.size(); ++k) {
            Lanes& lanes = chunks[k].lanes;
            lanes.width.all() = Ints{}, lanes.height.all() = Ints{};
            lanes.slots.all() = Ints{} + 1, lanes.period.all() = Ints{} + 3, lanes.x.all() = Ints{} - 1, lanes.y.all() = Ints{};
            for (int l = 0; l < kChunk; ++l) lanes.first_slot.v[l] = static_cast<int>(k * kChunk) + l;
        }
        for (std::size_t n = 0; n < blocks.size(); ++n)
            for (std::size_t s = first_slot_[n]; s < first_slot_[n + 1]; ++s) {
                Lanes& lanes = chunks[s / kChunk].lanes;
                const std::size_t l = s % kChunk;
                const int row = static_cast<int>(s - first_slot_[n]);
                lanes.block[l] = static_cast<std::int32_t>(n);
                lanes.height.v[l] = blocks[n].height, lanes.width.v[l] = blocks[n].width;
                lanes.first_slot.v[l] = static_cast<int>(first_slot_[n]);
                lanes.slots.v[l] = static_cast<int>(first_slot_[n + 1] - first_slot_[n]);
                lanes.period.v[l] = padded(blocks[n].width, kCell);
                lanes.y.v[l] = row, lanes.x.v[l] = -3 * row - 1;
            }
    }

    void join_lanes(std::size_t used, std::size_t weights, const std::int32_t* prior) {
        carried_.resize((chunks.size() + blocks.size()) * used);  // of every chunk's last lane, and of every block's last
        std::int32_t* sums = carried_.data();
        for (Chunk& chunk : chunks) {
            chunk.row.resize(used);
            chunk.column.resize(used);
            for (std::size_t e = 0; e < used; ++e) chunk.column[e].all() = Ints{} + prior[e];
            chunk.weights.resize(weights);
            chunk.beyond = sums;
            sums += used;
        }
        for (std::size_t n = 0; n < blocks.size(); ++n)
            for (std::size_t s = first_slot_[n]; s < first_slot_[n + 1]; ++s) {
                const bool wraps = s == first_slot_[n];
                if (!wraps && s % kChunk) continue;
                const std::size_t before = wraps ? first_slot_[n + 1] - 1 : s - 1;
                Chunk& source = chunks[before / kChunk];
                const int lane = static_cast<int>(before % kChunk);
                std::int32_t* at = source.beyond;
                if (lane != kChunk - 1) {
                    at = sums;
                    sums += used;
                    source.to.append({lane, at});
                }
                chunks[s / kChunk].from.append({static_cast<int>(s % kChunk), at});
            }
    }

    Buffer<std::size_t> first_slot_;  // of each block, and the end
    Buffer<std::int32_t> carried_;    // column sums from chunk to chunk and from the last slot of a block to its first
};

}  // namespace
}  // namespace bbcodec::local

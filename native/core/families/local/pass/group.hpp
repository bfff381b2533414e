// SPDX-License-Identifier: Apache-2.0
// The blocks of a group as chunks of lanes, and which of them are coded at a time.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// A lane whose column sums do not come from the lane before it in its chunk.
struct Joint {
    int lane = 0;
    std::int32_t* sums = nullptr;  // those that the other lane left
};

struct Chunk {
    Lanes lanes;
    int time = 0;
    std::vector<Joint> from, to;
    std::int32_t* beyond = nullptr;              // where the last lane leaves its column sums
    std::vector<Row> row, column;                // F and G
    std::vector<Row> weights;                    // floats
    Cell cell[kChannels];
    Row slow_row[kChannels];                     // h
    Lines<std::int32_t> block_side, side;        // [lanes][H]: of the block; with what is said of the place
    std::vector<Row> statistics;                 // [kStatistics]
    // Of the channel at hand:
    Row middle, mean, miss, spread;
    Quads features;
    LanePairs inputs;
};

// Slots of all blocks follow each other, kChunk of them are a chunk.
class Group {
  public:
    // used, weights: numbers of least-squares state and weights of a lane; prior: [used].
    Group(const std::vector<Shape>& shapes, std::size_t used, std::size_t weights, const std::int32_t* prior) : blocks(shapes) {
        std::size_t slots = 0;
        for (const Shape& b : blocks) {
            first_slot_.push_back(slots);
            slots += std::min(b.height, (b.width + 2) / 3);
            end = std::max(end, b.width + 3 * (b.height - 1));
        }
        first_slot_.push_back(slots);
        chunks.resize((slots + kChunk - 1) / kChunk), samples.resize(chunks.size());
        lanes.assign(slots + kChunk, 0), order.assign(chunks.size() * kChunk, 0);
        place_lanes();
        join_lanes(used, weights, prior);
    }

    // The lanes of time t, in their order, and the place of each.
    void list_lanes(int t) {
        count = 0;
        for (std::size_t n = 0; n < blocks.size(); ++n) {
            const Shape& b = blocks[n];
            const int first = t < b.width ? 0 : (t - b.width) / 3 + 1, last = std::min(b.height - 1, t / 3);
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

    // Lists all chunks: those without lanes, and the others in the order in which their lanes end.
    void list_chunks() {
        in_order.clear();
        needed.assign(chunks.size(), 0);
        for (std::size_t i = 0; i < count; ++i) needed[lanes[i] / kChunk] = i + 1;
        for (std::size_t k = 0; k < chunks.size(); ++k)
            if (!needed[k]) in_order.push_back(k);
        for (std::size_t i = 0; i < count; ++i)
            if (needed[lanes[i] / kChunk] == i + 1) in_order.push_back(lanes[i] / kChunk);
    }

    const std::vector<Shape> blocks;
    int end = 0;                             // the last time, and one
    std::vector<Chunk> chunks;
    std::vector<Row> samples;                // of each chunk, of the channel at hand
    // Of the time at hand:
    std::size_t count = 0;                   // lanes
    std::vector<std::int32_t> lanes, order;  // slots of the lanes; of each slot, its place among them
    std::vector<std::size_t> in_order, needed;  // chunks; lanes that must be popped before each

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
        carried_.assign((chunks.size() + blocks.size()) * used, 0);  // of every chunk's last lane, and of every block's last
        std::int32_t* sums = carried_.data();
        for (Chunk& chunk : chunks) {
            chunk.row.assign(used, Row());
            chunk.column.resize(used);
            for (std::size_t e = 0; e < used; ++e) chunk.column[e].all() = Ints{} + prior[e];
            chunk.weights.assign(weights, Row());
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
                    source.to.push_back({lane, at});
                }
                chunks[s / kChunk].from.push_back({static_cast<int>(s % kChunk), at});
            }
    }

    std::vector<std::size_t> first_slot_;    // of each block, and the end
    std::vector<std::int32_t> carried_;      // column sums from chunk to chunk and from the last slot of a block to its first
};

}  // namespace
}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// Side information: what is said of the lanes' blocks, and of their places in them.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

class Sides {
  public:
    // side: of each block [H], or null.
    Sides(const Model& m, const std::int32_t* const* side, std::vector<Chunk>& chunks) : hidden_(m.hidden) {
        const std::size_t hidden = hidden_;
        if (!m.positions.empty()) {
            positions_.assign(3 * hidden * 16, 0);
            for (std::size_t n = 0; n < 3; ++n)
                for (std::size_t i = 0; i < kNear; ++i)
                    for (std::size_t h = 0; h < hidden; ++h) positions_[(n * hidden + h) * 16 + i] = m.positions[(n * kNear + i) * hidden + h];
        }
        if (!side && positions_.empty()) return;
        for (Chunk& chunk : chunks) {
            chunk.block_side.assign(hidden, Row()), chunk.side.assign(hidden, Row());
            if (side)
                for (int l = 0; l < kChunk; ++l)
                    for (std::size_t h = 0; h < hidden; ++h) chunk.block_side[h].v[l] = side[chunk.lanes.block[l]][h];
        }
    }

    // Brings what is said to the places of the chunk's lanes.
    void tell(Chunk& chunk) const {
        if (chunk.side.empty()) return;
        const std::size_t hidden = hidden_;
        const Lanes& lanes = chunk.lanes;
        if (positions_.empty()) {
            chunk.side = chunk.block_side;
            return;
        }
        const auto near = [](Ints v) { return clamp(v, 0, kNear - 1); };
        const Ints top = near(lanes.y.all()), left = near(lanes.x.all()), right = near(lanes.width.all() - 1 - lanes.x.all());
        const auto at = [&](std::size_t n, std::size_t h) { return &positions_[(n * hidden + h) * 16]; };
        for (std::size_t h = 0; h < hidden; ++h)
            chunk.side[h].all() = chunk.block_side[h].all() + pick(at(0, h), top) + pick(at(1, h), left) + pick(at(2, h), right);
    }

  private:
    std::size_t hidden_;
    std::vector<std::int32_t> positions_;  // [3][H][16], by distance
};

}  // namespace
}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// Side information: what is said of the lanes' blocks, and of their places in them.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

class Sides {
  public:
    // side: of each block [H], or null.
    Sides(const Model& m, const std::int32_t* const* side, std::vector<Chunk>& chunks) : hidden_(m.hidden), positions_(m.positions) {
        if (!side && positions_.empty()) return;
        for (Chunk& chunk : chunks) {
            chunk.block_side.assign(kChunk * hidden_, 0);
            if (side)
                for (int l = 0; l < kChunk; ++l)
                    std::copy_n(side[chunk.lanes.block[l]], hidden_, &chunk.block_side[l * hidden_]);
            chunk.side = chunk.block_side;
        }
    }

    // Brings what is said to the places of the chunk's lanes.
    void tell(Chunk& chunk) const {
        if (positions_.empty()) return;
        const Lanes& lanes = chunk.lanes;
        const auto near = [](int v) { return static_cast<std::size_t>(std::clamp(v, 0, kNear - 1)); };
        for (int l = 0; l < kChunk; ++l) {
            const std::int32_t* top = &positions_[near(lanes.y.v[l]) * hidden_];
            const std::int32_t* left = &positions_[(kNear + near(lanes.x.v[l])) * hidden_];
            const std::int32_t* right = &positions_[(2 * kNear + near(lanes.width.v[l] - 1 - lanes.x.v[l])) * hidden_];
            const std::int32_t* block = &chunk.block_side[l * hidden_];
            std::int32_t* to = &chunk.side[l * hidden_];
            for (std::size_t h = 0; h < hidden_; ++h) to[h] = block[h] + top[h] + left[h] + right[h];
        }
    }

  private:
    const std::size_t hidden_;
    const Lines<std::int32_t>& positions_;  // [3][9][H], by distance; or none
};

}  // namespace
}  // namespace bbcodec::local

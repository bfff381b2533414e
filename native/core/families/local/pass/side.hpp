// SPDX-License-Identifier: Apache-2.0
// Side information: numbers that depend on the block of a lane, and on its place in the block.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

class Sides {
  public:
    // side: of each block [H], or null.
    Sides(const Model& m, const std::int32_t* const* side, Buffer<Chunk>& chunks) : hidden_(m.hidden), positions_(m.positions) {
        if (!side && positions_.empty()) return;
        for (Chunk& chunk : chunks) {
            chunk.block_side.resize(kChunk * hidden_);
            if (side)
                for (int l = 0; l < kChunk; ++l) copy(side[chunk.lanes.block[l]], hidden_, &chunk.block_side[l * hidden_]);
            chunk.side = chunk.block_side;
        }
    }

    // Updates the side information to the places of the lanes.
    void tell(Chunk& chunk) const {
        if (positions_.empty()) return;
        const Lanes& lanes = chunk.lanes;
        const auto near = [](int v) { return static_cast<std::size_t>(smaller(larger(v, 0), kNear - 1)); };
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

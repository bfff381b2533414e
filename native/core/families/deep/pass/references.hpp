// SPDX-License-Identifier: Apache-2.0
// Reference planes: numbers of all pixels by time and slot, as families/local/pass/around.hpp has those of the last sixteen
// times; and where their neighbours lie, all around a pixel.
// Part of chain_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::deep {
namespace {

constexpr int kAroundX[kAround] = {0, -1, 0, -1, 1, 1, 0, -1, 1};
constexpr int kAroundY[kAround] = {0, 0, -1, -1, -1, 0, 1, 1, 1};
constexpr int kBeyond = 8;  // times before the first and after the last: a neighbour is at most four away

class History {
  public:
    void resize(int times, std::size_t chunks) {
        stride_ = chunks + 1;
        rows_.resize(stride_ * static_cast<std::size_t>(times + 2 * kBeyond) + 1);
    }
    Row& at(int time, std::size_t chunk) { return rows_[1 + static_cast<std::size_t>(time + kBeyond) * stride_ + chunk]; }
    const std::int32_t* data() const { return rows_[1].v; }
    bool empty() const { return rows_.empty(); }

  private:
    Buffer<Row> rows_;
    std::size_t stride_ = 0;
};

struct Reference {
    const History *samples = nullptr, *errors = nullptr;
};

// Places of the neighbours of a chunk's lanes in references.
class Around {
  public:
    void look(const local::Lanes& lanes, int time, std::size_t chunk, std::size_t chunks) {
        const int stride = static_cast<int>(chunks + 1) * kChunk, slot = static_cast<int>(chunk) * kChunk;
        const Ints own = kLaneNumbers + slot, x = lanes.x.all(), y = lanes.y.all(), slots = lanes.slots.all();
        const Ints inner = (x >= 1) & (x < lanes.width.all() - 1) & (y >= 1) & (y < lanes.height.all() - 1) & (own >= 1) &
                           (own < slots - 1);
        Row other;
        other.all() = lanes.active.all() & ~inner;
        for (int i = 0; i < kAround; ++i) at_[i] = (time + kAroundX[i] + 3 * kAroundY[i] + kBeyond) * stride + slot + kAroundY[i];
        exceptions_ = 0, plain_ = !any(other.all());
        if (plain_) return;
        int n = 0;
        for (int l = 0; l < kChunk; ++l)
            if (other.v[l]) {
                if (n < kFew) exception_[n] = l;
                ++n;
            }
        if (n <= kFew) exceptions_ = n;
        const Ints last_row = lanes.height.all() - 1, last_column = lanes.width.all() - 1, zero = {};
        for (int i = 0; i < kAround; ++i) {
            // Lanes that are not active, or do not exist, read what belongs to another.
            const Ints yy = most(least(y + kAroundY[i], last_row), zero), xx = most(least(x + kAroundX[i], last_column), zero);
            Ints s = own + (yy - y);
            s += (s < 0) & slots, s -= (s >= slots) & slots;
            const Ints index = (xx + 3 * yy + kBeyond) * stride + s;
            index_[i].all() = other.all() ? index : zero;
        }
    }

    // Calls f(look), where look(history, position) gives numbers of neighbours.
    template <typename F>
    void with_look(F f) const {
        if (plain_)
            f([this](const History& of, int i) { return unaligned<Ints>(of.data() + at_[i]); });
        else if (exceptions_)
            f([this](const History& of, int i) {
                Ints v = unaligned<Ints>(of.data() + at_[i]);
                for (int n = 0; n < exceptions_; ++n)
                    v = kLaneNumbers == exception_[n] ? Ints{} + of.data()[index_[i].v[exception_[n]]] : v;
                return v;
            });
        else
            f([this](const History& of, int i) { return look_up(of.data(), index_[i].all()); });
    }

  private:
    static constexpr int kFew = 6;
    bool plain_ = false;
    int exceptions_ = 0, exception_[kFew];
    int at_[kAround];
    Row index_[kAround];
};

}  // namespace
}  // namespace bbcodec::deep

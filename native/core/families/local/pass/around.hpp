// SPDX-License-Identifier: Apache-2.0
// Lanes and their neighbours. Slot s of a block is the lane of rows s, s + slots, and so on. The slots of all blocks follow
// each other; kChunk of them are a chunk. Samples and errors of the last sixteen times are kept by time and slot: neighbours of
// adjacent lanes are adjacent in memory.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kDx[kOwn] = {-1, 0, -1, 1, -2, 0, 1, 2, -2, -1, -3, 0, 2, -3, -2, 3};
constexpr int kDy[kOwn] = {0, -1, -1, -1, 0, -2, -2, -1, -1, -2, 0, -3, -2, -1, -2, -2};
// X1 to X8 as positions in the own channel; X0 is the pixel itself.
constexpr int kEarlierAsOwn[kEarlier] = {-1, 0, 1, 2, 3, 4, 5, 7, 6};
constexpr int kTimes = 16;

// Numbers by time and slot, and one number for all pixels outside of the block.
class Recent {
  public:
    void resize(std::size_t chunks, std::int32_t outside) {
        stride_ = (chunks + 1) * kChunk;
        rows_.resize(1 + kTimes * (chunks + 1));
        rows_[1 + chunks].all() = Ints{} + outside;
    }
    Row& at(int time, std::size_t chunk) { return rows_[1 + ((time & (kTimes - 1)) * stride_) / kChunk + chunk]; }
    const std::int32_t* data() const { return rows_[1].v; }  // reads up to one row before them are allowed

  private:
    Buffer<Row> rows_;
    std::size_t stride_ = 0;
};

// The lanes of a chunk.
struct Lanes {
    // Facts about their blocks, which do not change:
    Row height, width, slots, first_slot;
    Row period;  // times from one row of the slot to the next
    std::int32_t block[kChunk] = {};
    // Facts about their pixels at this time:
    Row y, x, active;   // active: -1 or 0
    bool busy = false;  // a lane was active when the cell began
    Ints alone;         // -1 where no neighbour exists
    // Places of the neighbours. If `plain`, the position gives them for all lanes; or for all lanes but `exceptions` of them.
    static constexpr int kFew = 6;
    bool plain = false;
    int exceptions = 0;   // lanes that are not plain; 0 if there are more than kFew
    int exception[kFew];  // these lanes
    int at[kOwn];         // neighbours of the first lane, from the position
    Row index[kOwn];      // neighbours of all lanes, if not plain
    int slow_near = 0, slow_above = 0;
    Row slow_near_index, slow_above_index;

    // Moves to the next time, which is `time`.
    void advance(int time) {
        const Ints wrapped = x.all() + 1 == period.all();
        y.all() += wrapped & slots.all();
        x.all() = (x.all() + 1) & ~wrapped;
        active.all() = (x.all() >= 0) & (x.all() < width.all()) & (y.all() < height.all());
        if (time % kCell == 0) busy = any(active.all());
    }

    void look(int time, std::size_t chunk, std::size_t chunks) {
        const int stride = static_cast<int>(chunks + 1) * kChunk, slot = static_cast<int>(chunk) * kChunk;
        const Ints own = kLaneNumbers + slot - first_slot.all();
        const Ints inner = (x.all() >= 3) & (x.all() < width.all() - 3) & (y.all() >= 3) & (own >= 3);
        Row other;
        other.all() = active.all() & ~inner;
        alone = Ints{};
        const auto row = [&](int t) { return (t & (kTimes - 1)) * stride; };
        for (int i = 0; i < kOwn; ++i) at[i] = row(time + kDx[i] + 3 * kDy[i]) + slot + kDy[i];
        slow_near = row(time - 1) + slot - 1, slow_above = row(time - 3) + slot - 1;
        plain = !any(other.all());
        exceptions = 0;
        if (plain) return;
        int n = 0;
        for (int l = 0; l < kChunk; ++l)
            if (other.v[l]) {
                if (n < kFew) exception[n] = l;
                ++n;
            }
        if (n <= kFew) exceptions = n;
        const Ints outside = Ints{} + static_cast<int>(chunks) * kChunk;
        alone = (x.all() == 0) & (y.all() == 0);
        // Returns the place of pixel (yy, xx); its row is at most three above.
        const auto place = [&](Ints yy, Ints xx) {
            Ints s = own - (y.all() - yy);
            for (int n = 0; n < 3; ++n) s += (s < 0) & slots.all();
            return ((xx + 3 * yy) & (kTimes - 1)) * stride + first_slot.all() + s;
        };
        for (int i = 0; i < kOwn; ++i) {
            Ints yy = y.all() + kDy[i], xx = x.all() + kDx[i];
            const Ints over = yy < 0;
            xx = over ? (y.all() > 0 ? least(xx, x.all() + 2) : x.all() - 1) : xx;
            yy = over ? Ints{} : yy;
            const Ints left = xx < 0;
            yy = (left & (yy == y.all()) & (x.all() <= 0)) ? yy - 1 : yy;
            xx = left ? Ints{} : xx;
            xx = least(xx, width.all() - 1);
            index[i].all() = alone ? outside : place(yy, xx);
        }
        const Ints top = y.all() <= 0;
        slow_near_index.all() = top ? outside : place(y.all() - 1, least(x.all() + 2, width.all() - 1));
        slow_above_index.all() = top ? outside : place(y.all() - 1, x.all());
    }

    // Calls f(look), where look(recent, at, index) gives numbers of neighbours.
    template <typename F>
    void with_look(F f) const {
        if (plain)
            f([](const Recent& of, int first, const Row&) { return unaligned<Ints>(of.data() + first); });
        else if (exceptions)
            f([this](const Recent& of, int first, const Row& each) {
                Ints v = unaligned<Ints>(of.data() + first);
                for (int n = 0; n < exceptions; ++n)
                    v = kLaneNumbers == exception[n] ? Ints{} + of.data()[each.v[exception[n]]] : v;
                return v;
            });
        else
            f([](const Recent& of, int, const Row& each) { return look_up(of.data(), each.all()); });
    }
    Ints above_slow(const Recent& of) const {
        return plain ? unaligned<Ints>(of.data() + slow_above) : look_up(of.data(), slow_above_index.all());
    }
};

}  // namespace
}  // namespace bbcodec::local

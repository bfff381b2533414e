// SPDX-License-Identifier: Apache-2.0
// The symbols of all lanes of a time: popped from the message, or noted. First those of the windows, then how far samples lie
// beyond, then low bits.
// Part of chain_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::deep {
namespace {

using local::kLanes;
using local::kPrecision;
using local::Source;

constexpr std::uint32_t kTotal = 1u << kPrecision;

// A number below `count`, all of them equally likely as far as 2^20 can be divided.
inline std::uint32_t uniform_start(std::uint32_t i, std::uint32_t count) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(i) << kPrecision) / count);
}
inline std::uint32_t uniform_at(std::uint32_t cf, std::uint32_t count) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(cf + 1) * count - 1) >> kPrecision);
}

// Returns how many places outside of the window a sample with symbol z may have; 0 if it is inside.
inline std::uint32_t places_beyond(std::int32_t z, std::int32_t base, std::int32_t symbols, std::int32_t highest) {
    if (z == 0 && base > 0) return static_cast<std::uint32_t>(base) + 1;
    const std::int32_t beyond = highest - (base + symbols - 1);
    return z == symbols - 1 && beyond > 0 ? static_cast<std::uint32_t>(beyond) + 1 : 0;
}

// What is popped at a time, lane by lane.
class Popper {
  public:
    Popper(PlaneCoder& coder, Source& from) : coder_(coder), from_(from) {}

    // Pops everything; the samples of the first `popped` lanes are then known. Returns false if there are too few words.
    bool pop(std::atomic<std::size_t>& popped) {
        bool enough = true;
        local::with_components(coder_.model().base.components,
                               [&](auto j) { enough = pop_windows<decltype(j)::value>(popped); });
        return enough && (!far_ || pop_far()) && (!shifted_ || pop_low());
    }

  private:
    static constexpr std::uint64_t kMask = kTotal - 1;

    template <int J>
    bool pop_windows(std::atomic<std::size_t>& popped) {
        static_assert(kLanes % kHalf == 0);
        local::Group& group = coder_.group();
        const local::Mixtures& all = coder_.mixtures();
        const local::Tables& t = coder_.model().base.tables;
        Heads heads[kLanes / kHalf];
        std::memcpy(heads, from_.head, sizeof heads);
        far_ = shifted_ = false;
        for (std::size_t i = 0; i < group.count; i += kHalf) {
            const std::int32_t* slots = &group.lanes[i];  // those beyond the last are of an earlier time, and are not used
            const Half slot = unaligned<Half>(slots);
            const std::size_t n = smaller<std::size_t>(kHalf, group.count - i);
            const bool together = n == kHalf && !any(slot - slots[0] - low(kLaneNumbers));
            const auto of = [&](int part) {
                const std::int32_t* first = all.at(0, part).v;
                const Half v = together ? unaligned<Half>(first + slots[0]) : look_up(first, slot);
                return join(v, v);
            };
            const auto floats = [&](int part) { return reinterpret_cast<Floats>(of(part)); };
            const local::Mix<J> rough = local::load_mix<J>(floats);
            Floats known[local::kProbes];
            for (int p = 0; p < local::kProbes; ++p) known[p] = floats(all.probes() + p);
            const local::Logistics<J> mix = local::exact(rough, 0);
            Half base = {}, symbols = Half{} + kWindow, shift = {};
            for (std::size_t l = 0; l < n; ++l) {
                const Wide& w = coder_.wide[static_cast<std::size_t>(slots[l]) / kChunk];
                const int lane = slots[l] % kChunk;
                base[l] = w.base.v[lane], symbols[l] = w.symbols.v[lane], shift[l] = w.shift.v[lane];
            }
            Heads& head = heads[i / kHalf % (kLanes / kHalf)];
            const Half cf = __builtin_convertvector(head & kMask, Half);
            Half below, above;
            const Half guess = least(local::nearly(t, rough, cf, of(all.middle()), of(all.unit()), known), symbols - 1);
            const Half z = local::find(t, mix, cf, guess, symbols, below, above);
            const Heads next =
                times(__builtin_convertvector(above - below, Heads), head >> kPrecision) + __builtin_convertvector(cf - below, Heads);
            std::int32_t* samples = group.samples[0].v;
            for (std::size_t l = 0; l < n; ++l) {
                head[l] = next[l], samples[slots[l]] = z[l];
                Wide& w = coder_.wide[static_cast<std::size_t>(slots[l]) / kChunk];
                w.far.v[slots[l] % kChunk] = w.low.v[slots[l] % kChunk] = 0;
                shifted_ |= shift[l] != 0;
                far_ |= places_beyond(z[l], base[l], symbols[l], coder_.top() >> shift[l]) != 0;
            }
            if (!refill(head, n, from_.words, from_.size, from_.taken)) return false;
            if (i % kChunk && !far_ && !shifted_) popped.store(i + n, std::memory_order_release);
        }
        std::memcpy(from_.head, heads, sizeof heads);
        return true;
    }

    bool pop_far() {
        std::size_t at = 0;
        return each([&](Wide& w, int lane, std::int32_t z) {
            const std::uint32_t count = places_beyond(z, w.base.v[lane], w.symbols.v[lane], coder_.top() >> w.shift.v[lane]);
            if (count == 0) return true;
            std::uint32_t distance = 0;
            const bool enough = pop_uniform(at++ % kLanes, count, distance);
            w.far.v[lane] = z == 0 ? -static_cast<std::int32_t>(distance) : static_cast<std::int32_t>(distance);
            return enough;
        });
    }

    bool pop_low() {
        std::size_t at = 0;
        return each([&](Wide& w, int lane, std::int32_t) {
            const int shift = w.shift.v[lane];
            if (shift == 0) return true;
            std::uint64_t& head = from_.head[at++ % kLanes];
            const std::uint32_t cf = static_cast<std::uint32_t>(head & kMask);
            const int rest = kPrecision - shift;
            w.low.v[lane] = static_cast<std::int32_t>(cf >> rest);
            head = ((head >> kPrecision) << rest) + (cf & ((1u << rest) - 1));
            return refilled(head);
        });
    }

    // Calls f(what the chunk has, lane, symbol) for all lanes in order, as long as it returns true.
    template <typename F>
    bool each(F f) {
        local::Group& group = coder_.group();
        for (std::size_t i = 0; i < group.count; ++i) {
            const std::int32_t slot = group.lanes[i];
            if (!f(coder_.wide[static_cast<std::size_t>(slot) / kChunk], slot % kChunk, group.samples[0].v[slot])) return false;
        }
        return true;
    }

    bool pop_uniform(std::size_t lane, std::uint32_t count, std::uint32_t& i) {
        std::uint64_t& head = from_.head[lane];
        const std::uint32_t cf = static_cast<std::uint32_t>(head & kMask);
        i = uniform_at(cf, count);
        const std::uint32_t start = uniform_start(i, count), end = uniform_start(i + 1, count);
        head = (end - start) * (head >> kPrecision) + (cf - start);
        return refilled(head);
    }

    bool refilled(std::uint64_t& head) {
        if (head >> 31) return true;
        if (from_.taken == from_.size) return false;
        head = head << 32 | from_.words[from_.taken++];
        return true;
    }

    PlaneCoder& coder_;
    Source& from_;
    bool far_ = false, shifted_ = false;  // whether a lane has such symbols at this time
};

// Notes how far the samples of a time lie beyond their windows, and their low bits.
class Noter {
  public:
    Noter(PlaneCoder& coder, std::size_t lanes) : coder_(coder), notes_(lanes) {}

    void note(Symbols& to) {
        each([&](std::size_t k, int lane, std::int32_t z) {
            const Wide& w = coder_.wide[k];
            const std::uint32_t count = places_beyond(z, w.base.v[lane], w.symbols.v[lane], coder_.top() >> w.shift.v[lane]);
            if (count) add(static_cast<std::uint32_t>(z == 0 ? -w.far.v[lane] : w.far.v[lane]), count, coder_.pixel_of(k, lane));
        });
        end(to);
        each([&](std::size_t k, int lane, std::int32_t) {
            const Wide& w = coder_.wide[k];
            if (w.shift.v[lane]) add(static_cast<std::uint32_t>(w.low.v[lane]), 1u << w.shift.v[lane], coder_.pixel_of(k, lane));
        });
        end(to);
    }

  private:
    struct Note {
        std::uint32_t start, freq;
        std::int64_t pixel;
    };

    // Calls f(chunk, lane, symbol) for all lanes in order.
    template <typename F>
    void each(F f) {
        local::Group& group = coder_.group();
        for (std::size_t i = 0; i < group.count; ++i) {
            const std::int32_t slot = group.lanes[i];
            f(static_cast<std::size_t>(slot) / kChunk, slot % kChunk, group.samples[0].v[slot]);
        }
    }
    void add(std::uint32_t i, std::uint32_t count, std::int64_t pixel) {
        const std::uint32_t start = uniform_start(i, count);
        notes_[size_++] = {start, uniform_start(i + 1, count) - start, pixel};
    }
    void end(Symbols& to) {
        if (size_ == 0) return;
        const Symbols::Place place = to.begin(size_);
        for (std::size_t i = 0; i < size_; ++i) {
            place.start[i] = notes_[i].start, place.freq[i] = notes_[i].freq;
            if (place.pixel) place.pixel[i] = notes_[i].pixel;
        }
        size_ = 0;
    }

    PlaneCoder& coder_;
    Buffer<Note> notes_;
    std::size_t size_ = 0;
};

}  // namespace
}  // namespace bbcodec::deep

// SPDX-License-Identifier: Apache-2.0
// Bit slices: tables of carries, and the counters of all outputs (engine/sliced.hpp has the idea).
// Part of sliced_body.hpp, compiled once for each width of vectors; no include guard.
#include "engine/sliced.hpp"

namespace bbcodec {
namespace {

constexpr std::size_t kLanes = 8 * sizeof(Plane);
constexpr std::size_t kRuns = kLanes / 64;  // words of a plane
// Words of one pixel each, and a cache line more: else all words of a pixel would meet in one place of the cache.
constexpr std::size_t kByteLine = kLanes + 8;

// Carries of the pairs of a chunk with every pattern of weights.
struct Table {
    Plane carries[kChunkPairs][8];
};

// Where the bits of a plane start in a row of bits.
struct Start {
    std::uint64_t word, right, left;  // right < 64 is the bit, left is 64 - right

    explicit Start(std::size_t bit = 0) : word(bit / 64), right(bit % 64), left(64 - right) {}
};

// The kLanes bits from `start` on, without those that are not set in `mask`.
BBCODEC_INLINE Plane bits_from(const std::uint64_t* words, const Start& start, Plane mask) {
    const Plane here = unaligned<Plane>(words + start.word), next = unaligned<Plane>(words + start.word + 1);
    return funnel(here, next, start.right, start.left, mask);
}

// Half adder.
BBCODEC_INLINE Plane half_add(Plane& total, Plane b) {
    const Plane carry = total & b;
    total ^= b;
    return carry;
}

// The carries that an output has in a table.
struct Chosen {
    const Table& table;
    const std::uint8_t* codes;

    template <std::size_t Number>
    BBCODEC_INLINE Plane plane() const {
        constexpr std::size_t kAt = Number * sizeof(Table::carries[0]);
        constexpr std::size_t kScale = sizeof(Plane) / kCodeStep;
        return load_coded<kAt, kScale>(table, codes[Number]);
    }
};

// Carries of one output that wait to be added (as written by Counters).
struct Waiting {
    const Plane* entries;
    std::size_t stride;

    template <std::size_t Number>
    BBCODEC_INLINE Plane plane() const {
        return entries[Number * stride];
    }
};

// Adds 2^(Level + 1) planes, the first of them number `First`, to counters of Level + 1 planes; the carry is returned.
template <std::size_t Level, std::size_t First = 0, typename Planes>
BBCODEC_INLINE Plane add_tree(const Planes& from, Plane* counter) {
    if constexpr (Level == 0) {
        return full_add(counter[0], from.template plane<First>(), from.template plane<First + 1>());
    } else {
        const Plane a = add_tree<Level - 1, First>(from, counter);
        const Plane b = add_tree<Level - 1, First + (std::size_t{1} << Level)>(from, counter);
        return full_add(counter[Level], a, b);
    }
}

// The same with a counter in memory of `count` planes, all of which are added to.
template <std::size_t Level, typename Planes>
BBCODEC_INLINE void add_planes(const Planes& from, Plane* counter, std::size_t count) {
    Plane low[Level + 1];
    BBCODEC_UNROLL(8)
    for (std::size_t i = 0; i <= Level; ++i) low[i] = counter[i];
    Plane carry = add_tree<Level>(from, low);
    BBCODEC_UNROLL(8)
    for (std::size_t i = 0; i <= Level; ++i) counter[i] = low[i];
    for (std::size_t i = Level + 1; i < count; ++i) carry = half_add(counter[i], carry);
}

// The counters of the carries of all outputs.  What every chunk changes lies close together.
struct Counters {
    Plane (*low)[kLowPlanes];  // of each output
    Plane* high;               // `planes` - kLowPlanes of each output
    Plane* waiting;  // kMostWaiting times one of each output, of a chunk each; weigh as much as the first plane of `high`
    std::size_t outputs, planes;
    std::size_t stride;  // from one slot to the next: not 2^n planes, which would meet in one place of the cache

    Counters(Plane* at, std::size_t outputs_, std::size_t planes_)
        : low(reinterpret_cast<Plane (*)[kLowPlanes]>(at)),
          high(at + kLowPlanes * outputs_),
          waiting(at + planes_ * outputs_),
          outputs(outputs_),
          planes(planes_),
          stride(outputs_ + 1) {}

    // Adds what `slots` chunks have carried.
    void settle(std::size_t slots) const {
        const std::size_t count = planes - kLowPlanes;
        for (std::size_t o = 0; o < outputs; ++o) {
            Plane* const to = high + o * count;
            const Plane* from = waiting + o;
            if ((slots & 16) != 0) {
                add_planes<3>(Waiting{from, stride}, to, count);
                from += 16 * stride;
            }
            if ((slots & 8) != 0) {
                add_planes<2>(Waiting{from, stride}, to, count);
                from += 8 * stride;
            }
            if ((slots & 4) != 0) {
                add_planes<1>(Waiting{from, stride}, to, count);
                from += 4 * stride;
            }
            if ((slots & 2) != 0) {
                add_planes<0>(Waiting{from, stride}, to, count);
                from += 2 * stride;
            }
            if ((slots & 1) != 0) {
                Plane carry = *from;
                for (std::size_t i = 0; i < count; ++i) carry = half_add(to[i], carry);
            }
        }
    }

    void clear_low() const {
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t b = 0; b < kLowPlanes; ++b) low[o][b] = Plane{};
    }

    void clear_high() const {
        for (std::size_t i = 0; i < outputs * (planes - kLowPlanes); ++i) high[i] = Plane{};
    }

    Plane* plane(std::size_t o, std::size_t b) const {
        return b < kLowPlanes ? &low[o][b] : high + o * (planes - kLowPlanes) + b - kLowPlanes;
    }

    // Adds a whole chunk; what it carries waits at `slot`.
    template <bool Fresh>
    void add_whole(const Table& table, const std::uint8_t* codes, std::size_t slot) const {
        Plane* const to = waiting + slot * stride;
        for (std::size_t o = 0; o < outputs; ++o, codes += kChunkPairs) {
            Plane counter[kLowPlanes];
            BBCODEC_UNROLL(8)
            for (std::size_t b = 0; b < kLowPlanes; ++b) counter[b] = Fresh ? Plane{} : low[o][b];
            to[o] = add_tree<kLowPlanes - 1>(Chosen{table, codes}, counter);
            BBCODEC_UNROLL(8)
            for (std::size_t b = 0; b < kLowPlanes; ++b) low[o][b] = counter[b];
        }
    }

    // Adds a shorter chunk, of 2^(Level + 1) pairs.
    template <std::size_t Level>
    void add_short(const Table& table, const std::uint8_t* codes) const {
        for (std::size_t o = 0; o < outputs; ++o, codes += std::size_t{2} << Level) {
            Plane all[kMostPlanes];
            for (std::size_t b = 0; b < planes; ++b) all[b] = *plane(o, b);
            add_planes<Level>(Chosen{table, codes}, all, planes);
            for (std::size_t b = 0; b < planes; ++b) *plane(o, b) = all[b];
        }
    }
};

}  // namespace
}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Bit slices: planes, full adders, tables of counts, and the counters of all outputs (sliced.hpp has the idea).
// Part of sliced_body.hpp, compiled once for each width of vectors; no include guard.
#pragma GCC diagnostic ignored "-Wpsabi"  // all functions that take vectors are inlined

#define BBCODEC_INLINE inline __attribute__((always_inline))

namespace bbcodec {
namespace {

typedef std::uint64_t Plane __attribute__((vector_size(BBCODEC_SLICED_BYTES), may_alias));
constexpr std::size_t kLanes = 8 * sizeof(Plane);
constexpr std::size_t kRuns = kLanes / 64;  // words of a plane
// Words of a pixel each, and a cache line more: else all of a pixel's words would meet in one place of the cache.
constexpr std::size_t kByteLine = kLanes + 8;

// Of 8 outputs.
typedef std::int32_t Numbers __attribute__((vector_size(32)));

// Two counts of two bits each: sums + 2 * carries.
struct Pair {
    Plane sums[2], carries[2];
};

// Mismatches of the inputs of two groups, a and b, with every pattern of weights.  The sum of a group depends on the
// number of its ones alone (even or odd), so that one look-up can serve both.
struct PairTable {
    Plane sums[4][2];     // [odd in a + 2 * odd in b][group]
    Plane carries[2][8];  // [group][pattern]
};
struct Table {
    PairTable pairs[kChunkGroups / 2];
};

BBCODEC_INLINE Plane filled(std::uint64_t word) { return Plane{} + word; }

BBCODEC_INLINE Plane unaligned(const std::uint64_t* from) {
    Plane plane;
    __builtin_memcpy(&plane, from, sizeof plane);
    return plane;
}

// The kLanes bits from bit `offset` < 64 of a row of bits on.
BBCODEC_INLINE Plane bits_from(const std::uint64_t* words, std::size_t offset) {
    const Plane here = unaligned(words), next = unaligned(words + 1);
#if BBCODEC_SLICED_BYTES == 64
    // These shifts may be by 64 bits.
    return (Plane)_mm512_or_si512(_mm512_srlv_epi64((__m512i)here, (__m512i)filled(offset)),
                                  _mm512_sllv_epi64((__m512i)next, (__m512i)filled(64 - offset)));
#elif BBCODEC_SLICED_BYTES == 32
    return (Plane)_mm256_or_si256(_mm256_srlv_epi64((__m256i)here, (__m256i)filled(offset)),
                                  _mm256_sllv_epi64((__m256i)next, (__m256i)filled(64 - offset)));
#else
    return here >> offset | next << 1 << (63 - offset);
#endif
}

BBCODEC_INLINE Plane majority(Plane a, Plane b, Plane c) {
#if BBCODEC_SLICED_BYTES == 64
    return (Plane)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0xe8);
#else
    return a ^ ((a ^ c) & (a ^ b));
#endif
}

// Full adder: `total` becomes the sum, the carry is returned.
BBCODEC_INLINE Plane add(Plane& total, Plane b, Plane c) {
#if BBCODEC_SLICED_BYTES == 64
    // The carry from b, c and the new sum: none of the three has to be copied first.
    total = (Plane)_mm512_ternarylogic_epi64((__m512i)total, (__m512i)b, (__m512i)c, 0x96);
    return (Plane)_mm512_ternarylogic_epi64((__m512i)b, (__m512i)total, (__m512i)c, 0xb2);
#else
    // NEON has the second line as one instruction.
    const Plane differ = total ^ b;
    const Plane carry = total ^ ((total ^ c) & differ);
    total = differ ^ c;
    return carry;
#endif
}

// Half adder.
BBCODEC_INLINE Plane add(Plane& total, Plane b) {
    const Plane carry = total & b;
    total ^= b;
    return carry;
}

// The counts that an output has in a table.
struct Chosen {
    const Table& table;
    const std::uint8_t* codes;

    template <std::size_t Number>
    BBCODEC_INLINE Pair pair() const {
        constexpr std::size_t kSums = Number * sizeof(PairTable);
        constexpr std::size_t kCarries = kSums + sizeof(PairTable::sums);
        const std::uint8_t* const code = codes + kPairCodes * Number;
        Pair out;
        out.sums[0] = plane<kSums>(code[0]);
        out.sums[1] = plane<kSums + sizeof(Plane)>(code[0]);
        out.carries[0] = plane<kCarries>(code[1]);
        out.carries[1] = plane<kCarries + 8 * sizeof(Plane)>(code[2]);
        return out;
    }

    template <std::size_t At>
    BBCODEC_INLINE Plane plane(std::size_t code) const {
        // Codes count eighths of a plane.
#if BBCODEC_SLICED_BYTES == 64
        // A load with the whole address in it: compilers make an instruction more of the address, or load twice.
        Plane out;
        asm("vmovdqa64 %c3(%1,%2,8), %0" : "=v"(out) : "r"(&table), "r"(code), "i"(At), "m"(table));
        return out;
#else
        const char* from = reinterpret_cast<const char*>(&table) + code * (sizeof(Plane) / 8);
        asm("" : "+r"(from));  // else compilers keep the address of every pair, in more registers than there are
        return *reinterpret_cast<const Plane*>(from + At);
#endif
    }
};

// Counts of one output that wait to be added (as written by Counters).
struct Waiting {
    const Plane (*entries)[2];  // sum and carry

    template <std::size_t Number>
    BBCODEC_INLINE Pair pair() const {
        const Plane* const a = entries[2 * Number];
        const Plane* const b = entries[2 * Number + 1];
        return {{a[0], b[0]}, {a[1], b[1]}};
    }
};

// Adds 2^Level pairs of counts, the first of them number `First`: to `low`, planes 0 to Level, and what is left over are
// three planes of the next weight.
template <std::size_t Level, std::size_t First = 0, typename Counts>
BBCODEC_INLINE void add_pairs(const Counts& counts, Plane* low, Plane* over) {
    if constexpr (Level == 0) {
        const Pair pair = counts.template pair<First>();
        over[0] = add(low[0], pair.sums[0], pair.sums[1]);
        over[1] = pair.carries[0];
        over[2] = pair.carries[1];
    } else {
        Plane six[6];
        add_pairs<Level - 1, First>(counts, low, six);
        add_pairs<Level - 1, First + (std::size_t{1} << (Level - 1))>(counts, low, six + 3);
        for (std::size_t i = 0; i < 3; ++i) over[i] = add(low[Level], six[2 * i], six[2 * i + 1]);
    }
}

// Adds 2^Level pairs to planes 0 to Level, or writes them where these are `Fresh`; what is left over is a count of the
// next weight.
template <std::size_t Level, bool Fresh = false, typename Counts>
BBCODEC_INLINE void add_low(const Counts& counts, Plane* planes, Plane* left) {
    Plane low[Level + 1], over[3];
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) low[i] = Fresh ? Plane{} : planes[i];
    add_pairs<Level>(counts, low, over);
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) planes[i] = low[i];
    left[1] = add(over[0], over[1], over[2]);
    left[0] = over[0];
}

// Adds a count that weighs as much as plane 0.
BBCODEC_INLINE void add_count(const Plane* entry, Plane* planes, std::size_t count) {
    const Plane again = add(planes[0], entry[0]);
    Plane carry = add(planes[1], entry[1], again);
    for (std::size_t i = 2; i < count; ++i) carry = add(planes[i], carry);
}

// Adds 2^(Level + 1) counts.
template <std::size_t Level>
BBCODEC_INLINE void add_waiting(const Plane (*entries)[2], Plane* planes, std::size_t count) {
    Plane left[2];
    add_low<Level>(Waiting{entries}, planes, left);
    add_count(left, planes + Level + 1, count - Level - 1);
}

// The counters of all outputs.  What every chunk changes lies close together.
struct Counters {
    Plane (*low)[kLowPlanes];  // of each output
    Plane* high;               // `planes` - kLowPlanes of each output
    Plane (*waiting)[2];       // kMostWaiting of each output, of a chunk each; weigh as much as the first plane of `high`
    std::size_t outputs, planes;

    // A chunk of 32 groups; what it leaves over waits at `slot`.
    template <bool Fresh>
    void add_whole(const Table& table, const std::uint8_t* codes, std::size_t slot) const {
        Plane(*const to)[2] = waiting + slot;
        for (std::size_t o = 0; o < outputs; ++o, codes += kPairCodes * kChunkGroups / 2)
            add_low<kLowPlanes - 1, Fresh>(Chosen{table, codes}, low[o], to[o * kMostWaiting]);
    }

    // A shorter chunk, of 2^Level pairs of groups.
    template <std::size_t Level>
    void add_short(const Table& table, const std::uint8_t* codes) const {
        for (std::size_t o = 0; o < outputs; ++o, codes += kPairCodes << Level) {
            Plane all[kMostPlanes], left[2];
            for (std::size_t b = 0; b < planes; ++b) all[b] = *plane(o, b);
            add_low<Level>(Chosen{table, codes}, all, left);
            add_count(left, all + Level + 1, planes - Level - 1);
            for (std::size_t b = 0; b < planes; ++b) *plane(o, b) = all[b];
        }
    }

    // Adds what was left over by `slots` chunks.
    void settle(std::size_t slots) const {
        const std::size_t count = planes - kLowPlanes;
        for (std::size_t o = 0; o < outputs; ++o) {
            Plane* const to = high + o * count;
            Plane(*from)[2] = waiting + o * kMostWaiting;
            if ((slots & 8) != 0) add_waiting<2>(from, to, count);
            if ((slots & 4) != 0) {
                add_waiting<1>(from, to, count);
                from += 4;
            }
            if ((slots & 2) != 0) {
                add_waiting<0>(from, to, count);
                from += 2;
            }
            if ((slots & 1) != 0) add_count(*from, to, count);
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
};

}  // namespace
}  // namespace bbcodec

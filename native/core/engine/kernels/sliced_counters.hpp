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

// Carries of the pairs of a chunk with every pattern of weights.
struct Table {
    Plane carries[kChunkPairs][8];
};

BBCODEC_INLINE Plane filled(std::uint64_t word) { return Plane{} + word; }

BBCODEC_INLINE Plane unaligned(const std::uint64_t* from) {
    Plane plane;
    __builtin_memcpy(&plane, from, sizeof plane);
    return plane;
}

// Where the bits of a plane start in a row of bits.
struct Start {
    std::uint64_t word, right, left;  // right < 64 is the bit, left is 64 - right

    explicit Start(std::size_t bit = 0) : word(bit / 64), right(bit % 64), left(64 - right) {}
};

// The kLanes bits from `start` on, without those that are not set in `mask`.
BBCODEC_INLINE Plane bits_from(const std::uint64_t* words, const Start& start, Plane mask) {
    const Plane here = unaligned(words + start.word), next = unaligned(words + start.word + 1);
#if BBCODEC_SLICED_BYTES == 64
    // These shifts may be by 64 bits.
    const __m512i low = _mm512_srlv_epi64((__m512i)here, _mm512_set1_epi64(static_cast<long long>(start.right)));
    const __m512i high = _mm512_sllv_epi64((__m512i)next, _mm512_set1_epi64(static_cast<long long>(start.left)));
    return (Plane)_mm512_ternarylogic_epi64(low, high, (__m512i)mask, 0xa8);
#elif BBCODEC_SLICED_BYTES == 32
    const __m256i low = _mm256_srlv_epi64((__m256i)here, _mm256_set1_epi64x(static_cast<long long>(start.right)));
    const __m256i high = _mm256_sllv_epi64((__m256i)next, _mm256_set1_epi64x(static_cast<long long>(start.left)));
    return (Plane)_mm256_or_si256(low, high) & mask;
#else
    return (here >> start.right | next << 1 << (start.left - 1)) & mask;
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

// The carries that an output has in a table.
struct Chosen {
    const Table& table;
    const std::uint8_t* codes;

    template <std::size_t Number>
    BBCODEC_INLINE Plane plane() const {
        constexpr std::size_t kAt = Number * sizeof(Table::carries[0]);
        constexpr std::size_t kScale = sizeof(Plane) / kCodeStep;
        const std::size_t code = codes[Number];
#if BBCODEC_SLICED_BYTES == 64
        // A load with the whole address in it: compilers make an instruction more of the address, or load twice.
        Plane out;
        asm("vmovdqa64 %c3(%1,%2,%c4), %0" : "=v"(out) : "r"(&table), "r"(code), "i"(kAt), "i"(kScale), "m"(table));
        return out;
#else
        const char* from = reinterpret_cast<const char*>(&table) + code * kScale;
        asm("" : "+r"(from));  // else compilers keep the address of every pair, in more registers than there are
        return *reinterpret_cast<const Plane*>(from + kAt);
#endif
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
        return add(counter[0], from.template plane<First>(), from.template plane<First + 1>());
    } else {
        const Plane a = add_tree<Level - 1, First>(from, counter);
        const Plane b = add_tree<Level - 1, First + (std::size_t{1} << Level)>(from, counter);
        return add(counter[Level], a, b);
    }
}

// The same with a counter in memory of `count` planes, all of which are added to.
template <std::size_t Level, typename Planes>
BBCODEC_INLINE void add_planes(const Planes& from, Plane* counter, std::size_t count) {
    Plane low[Level + 1];
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) low[i] = counter[i];
    Plane carry = add_tree<Level>(from, low);
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) counter[i] = low[i];
    for (std::size_t i = Level + 1; i < count; ++i) carry = add(counter[i], carry);
}

// The counters of the carries of all outputs.  What every chunk changes lies close together.
struct Counters {
    Plane (*low)[kLowPlanes];  // of each output
    Plane* high;               // `planes` - kLowPlanes of each output
    Plane* waiting;  // kMostWaiting times one of each output, of a chunk each; weigh as much as the first plane of `high`
    std::size_t outputs, planes;
    std::size_t stride;  // from one slot to the next: not 2^n planes, which would meet in one place of the cache

    Counters(Plane* at, std::size_t outputs_, std::size_t planes_)
        : low(reinterpret_cast<Plane(*)[kLowPlanes]>(at)), high(at + kLowPlanes * outputs_),
          waiting(at + planes_ * outputs_), outputs(outputs_), planes(planes_), stride(outputs_ + 1) {}

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
                for (std::size_t i = 0; i < count; ++i) carry = add(to[i], carry);
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
#pragma GCC unroll 8
            for (std::size_t b = 0; b < kLowPlanes; ++b) counter[b] = Fresh ? Plane{} : low[o][b];
            to[o] = add_tree<kLowPlanes - 1>(Chosen{table, codes}, counter);
#pragma GCC unroll 8
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

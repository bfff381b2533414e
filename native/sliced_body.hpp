// SPDX-License-Identifier: Apache-2.0
// Bit convolutions in bit slices (sliced.hpp has the idea), compiled once for each width of vectors; no include guard.
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

// Rows r[0], r[stride], .. r[7 stride] of 8 fields of `Unit` bits (in every 8 Unit bits) become columns.
template <std::size_t Unit>
BBCODEC_INLINE void turn_8(Plane* r, std::size_t stride) {
    constexpr std::uint64_t kMasks[2][3] = {{0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f},
                                            {0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff}};
    static_assert(Unit == 1 || Unit == 8);
    Plane v[8];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) v[i] = r[i * stride];
#pragma GCC unroll 3
    for (std::size_t stage = 0; stage < 3; ++stage) {
        const std::size_t step = std::size_t{1} << stage;
        const std::size_t shift = step * Unit;
        const Plane mask = filled(kMasks[Unit == 8][stage]);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < 8; ++i) {
            if ((i & step) != 0) continue;
            const Plane swapped = ((v[i] >> shift) ^ v[i + step]) & mask;
            v[i + step] ^= swapped;
            v[i] ^= swapped << shift;
        }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) r[i * stride] = v[i];
}

// 64 rows of 64 bits, in each word of the planes by itself.
BBCODEC_INLINE void turn_64(Plane* rows) {
    for (std::size_t i = 0; i < 8; ++i) turn_8<8>(rows + i, 8);
    for (std::size_t i = 0; i < 8; ++i) turn_8<1>(rows + 8 * i, 1);
}

struct Body {
    const SlicedJob& job;
    const SlicedWeights& weights;
    const SlicedSizes& sizes;
    const std::size_t pixels, width, height, kernel, margin, channels, depth, outputs, planes;
    std::uint64_t* const inputs;
    std::uint64_t* const masks;
    Table& table;
    const Counters counters;
    std::uint64_t* const limits;
    std::uint64_t* const bytes;
    std::int32_t* const rows;

    explicit Body(const SlicedJob& j)
        : job(j), weights(*j.weights), sizes(*j.sizes), pixels(j.shape->pixels()), width(j.shape->width),
          height(j.shape->height), kernel(weights.kernel()), margin(kernel / 2), channels(weights.channels()),
          depth((channels + 63) / 64), outputs(weights.outputs()), planes(weights.planes()), inputs(j.memory),
          masks(inputs + sizes.inputs), table(*reinterpret_cast<Table*>(masks + sizes.masks)),
          counters(counters_at(reinterpret_cast<Plane*>(&table + 1))),
          limits(masks + sizes.masks + sizes.tables + sizes.counters), bytes(limits + sizes.limits),
          rows(reinterpret_cast<std::int32_t*>(bytes + sizes.bytes)) {}

    Counters counters_at(Plane* at) const {
        Plane* const high = at + kLowPlanes * outputs;
        Plane* const waiting = high + (planes - kLowPlanes) * outputs;
        return {reinterpret_cast<Plane(*)[kLowPlanes]>(at), high, reinterpret_cast<Plane(*)[2]>(waiting), outputs, planes};
    }

    // Input planes of the pixels from `start` - reach on; outside of the batch they are 0.
    void pack(std::size_t start, std::size_t size) {
        const std::size_t length = size + 2 * sizes.reach;
        for (std::size_t at = 0; at < length; at += kLanes) {
            for (std::size_t word = 0; word < depth; ++word) {
                Plane rows_of[64];
                std::uint64_t* const to = reinterpret_cast<std::uint64_t*>(rows_of);
                // Unsigned numbers wrap: a pixel before the first one is behind the last one.
                const std::size_t first = start + at - sizes.reach;
                if (first < pixels && first + kLanes <= pixels) {
                    const std::uint64_t* from = job.x + first * depth + word;
                    for (std::size_t run = 0; run < kRuns; ++run)
                        for (std::size_t i = 0; i < 64; ++i, from += depth) to[i * kRuns + run] = *from;
                } else {
                    for (std::size_t i = 0; i < kLanes; ++i) {
                        const std::size_t q = first + i;
                        to[i % 64 * kRuns + i / 64] = q < pixels ? job.x[q * depth + word] : 0;
                    }
                }
                turn_64(rows_of);
                std::uint64_t* out = inputs + 64 * word * sizes.line + at / 64;
                for (std::size_t i = 0; i < 64; ++i, out += sizes.line) __builtin_memcpy(out, &rows_of[i], sizeof(Plane));
            }
        }
    }

    std::uint64_t* mask_of_column(std::size_t tap) const { return masks + tap * (sizes.segment / 64); }
    std::uint64_t* mask_of_row(std::size_t tap) const { return mask_of_column(kernel + tap); }

    // Which pixels of a segment have a tap inside of the map.
    void mask(std::size_t start, std::size_t size) {
        for (std::size_t i = 0; i < sizes.masks; ++i) masks[i] = ~std::uint64_t{0};
        const auto clear = [](std::uint64_t* words, std::size_t from, std::size_t to) {
            while (from < to) {
                const std::size_t bit = from % 64, many = to - from < 64 - bit ? to - from : 64 - bit;
                words[from / 64] &= ~(~std::uint64_t{0} >> (64 - many) << bit);
                from += many;
            }
        };
        const std::size_t end = start + size;
        const auto inside = [&](std::size_t q) { return (q < start ? start : q > end ? end : q) - start; };
        for (std::size_t row = start / width; row * width < end; ++row) {
            const std::size_t left = row * width, y = row % height;
            for (std::size_t tap = 0; tap < kernel; ++tap) {
                // Pixels whose tap lies left of the map, or right of it; rows whose tap lies above or below.
                const std::size_t before = tap < margin ? margin - tap : 0, after = tap > margin ? tap - margin : 0;
                clear(mask_of_column(tap), inside(left), inside(left + (before < width ? before : width)));
                clear(mask_of_column(tap), inside(left + (after < width ? width - after : 0)), inside(after ? left + width : 0));
                if (y < before || y + after >= height) clear(mask_of_row(tap), inside(left), inside(left + width));
            }
        }
    }

    // The input planes of kLanes pixels, one after the other: taps of the first channel, of the second ..., then zeros.
    struct Windows {
        static constexpr std::size_t kMostTaps = 25;
        const std::size_t taps, line;
        const std::uint64_t* channel;  // plane of the channel at hand
        const std::uint64_t* const end;
        std::size_t tap = 0;
        std::size_t word[kMostTaps], offset[kMostTaps];  // where a tap's planes start
        Plane inside[kMostTaps];                         // pixels that have a tap

        // `at` counts pixels from the start of the segment.
        Windows(const Body& body, std::size_t at)
            : taps(body.kernel * body.kernel), line(body.sizes.line), channel(body.inputs),
              end(body.inputs + body.channels * body.sizes.line) {
            for (std::size_t y = 0, i = 0; y < body.kernel; ++y)
                for (std::size_t x = 0; x < body.kernel; ++x, ++i) {
                    const std::size_t bit = at + body.sizes.reach + y * body.width + x - body.margin * (body.width + 1);
                    word[i] = bit / 64;
                    offset[i] = bit % 64;
                    inside[i] = unaligned(body.mask_of_row(y) + at / 64) & unaligned(body.mask_of_column(x) + at / 64);
                }
        }

        BBCODEC_INLINE Plane next() {
            if (channel == end) return Plane{};
            const Plane out = bits_from(channel + word[tap], offset[tap]) & inside[tap];
            if (++tap == taps) {
                tap = 0;
                channel += line;
            }
            return out;
        }
    };

    // Counts of all outputs for the kLanes pixels `at` pixels into a segment.
    void count(std::size_t at) {
        counters.clear_high();
        if (weights.groups() < kChunkGroups) counters.clear_low();
        std::size_t waiting = 0;
        Windows windows(*this, at);
        for (std::size_t group = 0; group < weights.groups();) {
            const std::size_t size = chunk_groups(weights.groups(), group);
            for (std::size_t pair = 0; pair < size / 2; ++pair) {
                Plane x[2 * kGroup];
#pragma GCC unroll 6
                for (std::size_t i = 0; i < 2 * kGroup; ++i) x[i] = windows.next();
                fill(table.pairs[pair], x);
            }
            const std::uint8_t* codes = weights.codes() + kPairCodes * (group / 2) * outputs;
            if (size == 32) {
                if (group == 0) {
                    counters.add_whole<true>(table, codes, waiting);
                } else {
                    counters.add_whole<false>(table, codes, waiting);
                }
                if (++waiting == kMostWaiting) {
                    counters.settle(waiting);
                    waiting = 0;
                }
            } else if (size == 16) {
                counters.add_short<3>(table, codes);
            } else {
                counters.add_short<2>(table, codes);
            }
            group += size;
        }
        counters.settle(waiting);
    }

    static BBCODEC_INLINE void fill(PairTable& pair, const Plane* x) {
        const Plane sums[2] = {x[0] ^ x[1] ^ x[2], x[3] ^ x[4] ^ x[5]};
#pragma GCC unroll 4
        for (std::size_t odd = 0; odd < 4; ++odd) {
            pair.sums[odd][0] = odd & 1 ? ~sums[0] : sums[0];
            pair.sums[odd][1] = odd & 2 ? ~sums[1] : sums[1];
        }
#pragma GCC unroll 2
        for (std::size_t group = 0; group < 2; ++group)
            // A pattern and its complement count 3 together: the carry of one is that of the other, inverted.
#pragma GCC unroll 4
            for (std::size_t pattern = 0; pattern < 4; ++pattern) {
                const Plane a = x[kGroup * group], b = x[kGroup * group + 1], c = x[kGroup * group + 2];
                const Plane carry = majority(pattern & 1 ? ~a : a, pattern & 2 ? ~b : b, c);
                pair.carries[group][pattern] = carry;
                pair.carries[group][7 - pattern] = ~carry;
            }
    }

    // total - 2 count < limit where count >= least, that is where count + (2^planes - least) has a carry.
    // For each output the bits of that number as words, and in the end a word for what no carry means.
    void make_limits() {
        const ThresholdParams params = job.epilogue->threshold->params();
        const std::int64_t total = static_cast<std::int64_t>(weights.inputs()), top = std::int64_t{1} << planes;
        for (std::size_t o = 0; o < outputs; ++o) {
            std::uint64_t* const to = limits + o * (planes + 1);
            const std::int64_t least = ((total - params.limits[o]) >> 1) + 1;
            const bool sometimes = 0 < least && least < top;
            const std::uint64_t rest = sometimes ? static_cast<std::uint64_t>(top - least) : 0;
            for (std::size_t b = 0; b < planes; ++b) to[b] = -(rest >> b & 1);
            to[planes] = -((params.flips[o / 64] >> (o % 64) & 1) ^ (least <= 0));
        }
    }

    // Signs of `most` pixels, the first of them `first`.
    void signs(std::size_t first, std::size_t most) {
        const std::size_t words = (outputs + 63) / 64;
        for (std::size_t word = 0; word < words; ++word) {
            Plane out[64];
            for (std::size_t i = 0; i < 64; ++i) {
                const std::size_t o = 64 * word + i;
                Plane carry = Plane{};
                if (o < outputs) {
                    const std::uint64_t* const bits = limits + o * (planes + 1);
#pragma GCC unroll 8
                    for (std::size_t b = 0; b < kLowPlanes; ++b) carry = majority(counters.low[o][b], filled(bits[b]), carry);
                    const Plane* const high = counters.plane(o, kLowPlanes) - kLowPlanes;
                    for (std::size_t b = kLowPlanes; b < planes; ++b) carry = majority(high[b], filled(bits[b]), carry);
                    carry ^= filled(bits[planes]);
                }
                out[i] = carry;
            }
            turn_64(out);
            const std::uint64_t* from = reinterpret_cast<const std::uint64_t*>(out);
            std::uint64_t* to = job.epilogue->bits + first * words + word;
            for (std::size_t p = 0; p < most; ++p, to += words) *to = from[p % 64 * kRuns + p / 64];
        }
    }

    // Accumulators of `most` pixels, the first of them `first`.
    void numbers(std::size_t first, std::size_t most) {
        const std::size_t parts = planes > 8 ? 2 : 1, blocks = (outputs + 7) / 8;
        for (std::size_t part = 0; part < parts; ++part)
            for (std::size_t block = 0; block < blocks; ++block)
                spread(8 * block, 8 * part, bytes + (parts * block + part) * kByteLine);
        const std::int32_t total = static_cast<std::int32_t>(weights.inputs());
        const bool direct = job.epilogue->acc != nullptr && outputs % 8 == 0;
        const std::size_t stride = direct ? outputs : (outputs + 63) / 64 * 64;
        for (std::size_t start = 0; start < most; start += kRowPixels) {
            const std::size_t many = most - start < kRowPixels ? most - start : kRowPixels;
            std::int32_t* const to = direct ? job.epilogue->acc + (first + start) * outputs : rows;
            for (std::size_t p = 0; p < many; ++p) {
                const std::uint64_t* from = bytes + start + p;
                std::int32_t* acc = to + p * stride;
                for (std::size_t block = 0; block < blocks; ++block, from += parts * kByteLine, acc += 8) {
                    Numbers count = widened(from[0]);
                    if (parts == 2) count |= widened(from[kByteLine]) << 8;
                    count = total - 2 * count;
                    __builtin_memcpy(acc, &count, sizeof count);
                }
            }
            if (!direct) finish(*job.table, *job.epilogue, rows, stride, outputs, first + start, many);
        }
    }

    static BBCODEC_INLINE Numbers widened(std::uint64_t word) {
#if BBCODEC_SLICED_BYTES > 16
        return (Numbers)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(word)));
#else
        Numbers numbers_of;
        for (std::size_t i = 0; i < 8; ++i) numbers_of[i] = static_cast<std::int32_t>(word >> (8 * i) & 0xff);
        return numbers_of;
#endif
    }

    // Planes `base` to `base` + 7 of 8 outputs as a byte of each: a word for each pixel.
    void spread(std::size_t o, std::size_t base, std::uint64_t* to) {
        Plane fields[8][8];  // [pixel % 8][output]: bytes of the pixels, each 8 behind the other
        for (std::size_t i = 0; i < 8; ++i) {
            Plane v[8];
#pragma GCC unroll 8
            for (std::size_t b = 0; b < 8; ++b)
                v[b] = o + i < outputs && base + b < planes ? *counters.plane(o + i, base + b) : Plane{};
            turn_8<1>(v, 1);
#pragma GCC unroll 8
            for (std::size_t p = 0; p < 8; ++p) fields[p][i] = v[p];
        }
        for (std::size_t p = 0; p < 8; ++p) {
            turn_8<8>(fields[p], 1);
            const std::uint64_t* from = reinterpret_cast<const std::uint64_t*>(fields[p]);
            for (std::size_t run = 0; run < kRuns; ++run)
                for (std::size_t i = 0; i < 8; ++i) to[64 * run + 8 * i + p] = from[i * kRuns + run];
        }
    }

    void run() {
        if (job.epilogue->bits != nullptr) make_limits();
        for (std::size_t start = 0; start < pixels; start += sizes.segment) {
            const std::size_t size = pixels - start < sizes.segment ? pixels - start : sizes.segment;
            pack(start, size);
            mask(start, size);
            for (std::size_t at = 0; at < size; at += kLanes) {
                const std::size_t most = size - at < kLanes ? size - at : kLanes;
                count(at);
                if (job.epilogue->bits != nullptr) {
                    signs(start + at, most);
                } else {
                    numbers(start + at, most);
                }
            }
        }
    }
};

}  // namespace

void BBCODEC_SLICED_NAME(const SlicedJob& job) { Body(job).run(); }

}  // namespace bbcodec

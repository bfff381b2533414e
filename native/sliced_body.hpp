// SPDX-License-Identifier: Apache-2.0
// Bit convolutions in bit slices (sliced.hpp has the idea), compiled once for each width of vectors; no include guard.
#pragma GCC diagnostic ignored "-Wpsabi"  // all functions that take vectors are inlined

#define BBCODEC_INLINE inline __attribute__((always_inline))

namespace bbcodec {
namespace {

typedef std::uint64_t Plane __attribute__((vector_size(BBCODEC_SLICED_BYTES), may_alias));
constexpr std::size_t kLanes = 8 * sizeof(Plane);
constexpr std::size_t kRuns = kLanes / 64;  // words of a plane

// Mismatches of the three inputs of a group with one pattern of weights: sum + 2 * carry.
struct Entry {
    Plane sum, carry;
};
struct Table {
    Entry entries[kChunkGroups][kPatterns];
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

// The entries that an output has in a table.
struct Chosen {
    const Table& table;
    const std::uint8_t* codes;

    template <std::size_t Group>
    BBCODEC_INLINE Entry get() const {
        const std::size_t code = codes[Group];
#if BBCODEC_SLICED_BYTES == 64
        // Loads with the whole address in them: compilers make an instruction more of the address, or load twice.
        Entry entry;
        constexpr std::size_t at = Group * kPatterns * sizeof(Entry);
        asm("vmovdqa64 %c3(%1,%2,8), %0" : "=v"(entry.sum) : "r"(&table), "r"(code), "i"(at), "m"(table));
        asm("vmovdqa64 %c3(%1,%2,8), %0" : "=v"(entry.carry) : "r"(&table), "r"(code), "i"(at + sizeof(Plane)), "m"(table));
        return entry;
#else
        constexpr std::size_t kBytesPerCode = sizeof(Entry) / 16;
        const char* from = reinterpret_cast<const char*>(&table) + code * kBytesPerCode;
        asm("" : "+r"(from));  // else compilers keep the address of every group, in more registers than there are
        from += Group * kPatterns * sizeof(Entry);
        return {*reinterpret_cast<const Plane*>(from), *reinterpret_cast<const Plane*>(from + sizeof(Plane))};
#endif
    }
};

// Entries that stand `step` apart.
struct Listed {
    const Entry* entries;
    std::size_t step;

    template <std::size_t Group>
    BBCODEC_INLINE Entry get() const {
        return {entries[Group * step].sum, entries[Group * step].carry};
    }
};

// Adds 2^(Level + 1) entries, the first of them number `Group`: to `low`, planes 0 to Level, and what is left over are
// three planes of the next weight.
template <std::size_t Level, std::size_t Group = 0, typename Entries>
BBCODEC_INLINE void add_entries(const Entries& entries, Plane* low, Plane* over) {
    if constexpr (Level == 0) {
        const Entry a = entries.template get<Group>(), b = entries.template get<Group + 1>();
        over[0] = add(low[0], a.sum, b.sum);
        over[1] = a.carry;
        over[2] = b.carry;
    } else {
        Plane six[6];
        add_entries<Level - 1, Group>(entries, low, six);
        add_entries<Level - 1, Group + (std::size_t{1} << Level)>(entries, low, six + 3);
        for (std::size_t i = 0; i < 3; ++i) over[i] = add(low[Level], six[2 * i], six[2 * i + 1]);
    }
}

// Adds 2^(Level + 1) entries to planes 0 to Level; the three planes that are left over become one entry of the next weight.
template <std::size_t Level, typename Entries>
BBCODEC_INLINE Entry add_low(const Entries& entries, Plane* planes) {
    Plane low[Level + 1], over[3];
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) low[i] = planes[i];
    add_entries<Level>(entries, low, over);
#pragma GCC unroll 8
    for (std::size_t i = 0; i <= Level; ++i) planes[i] = low[i];
    const Plane carry = add(over[0], over[1], over[2]);
    return {over[0], carry};
}

// Adds an entry that weighs as much as plane 0.
BBCODEC_INLINE void add_entry(const Entry& entry, Plane* planes, std::size_t count) {
    const Plane again = add(planes[0], entry.sum);
    Plane carry = add(planes[1], entry.carry, again);
    for (std::size_t i = 2; i < count; ++i) carry = add(planes[i], carry);
}

// The counters of all outputs.  What every chunk changes lies close together.
struct Counters {
    Plane (*low)[kLowPlanes];  // of each output
    Plane* high;               // `planes` - kLowPlanes of each output
    Entry* left;               // of each chunk that waits, of each output: weighs as much as the first plane of `high`
    std::size_t outputs, planes;

    // A chunk of 32 groups; what it leaves over waits at `slot`.
    void add_whole(const Table& table, const std::uint8_t* codes, std::size_t slot) const {
        Entry* const to = left + slot * outputs;
        for (std::size_t o = 0; o < outputs; ++o, codes += kChunkGroups) {
            const Entry entry = add_low<kLowPlanes - 1>(Chosen{table, codes}, low[o]);
            to[o].sum = entry.sum;
            to[o].carry = entry.carry;
        }
    }

    // A shorter chunk, of 2^(Level + 1) groups.
    template <std::size_t Level>
    void add_short(const Table& table, const std::uint8_t* codes) const {
        for (std::size_t o = 0; o < outputs; ++o, codes += std::size_t{2} << Level) {
            Plane all[kMostPlanes];
            for (std::size_t b = 0; b < planes; ++b) all[b] = *plane(o, b);
            const Entry entry = add_low<Level>(Chosen{table, codes}, all);
            add_entry(entry, all + Level + 1, planes - Level - 1);
            for (std::size_t b = 0; b < planes; ++b) *plane(o, b) = all[b];
        }
    }

    // Adds what was left over by `slots` chunks.
    void settle(std::size_t slots) const {
        for (std::size_t o = 0; o < outputs; ++o) {
            Plane* const to = high + o * (planes - kLowPlanes);
            if (slots == kMostLeft) {
                const Entry entry = add_low<2>(Listed{left + o, outputs}, to);
                add_entry(entry, to + 3, planes - kLowPlanes - 3);
            } else {
                for (std::size_t i = 0; i < slots; ++i) add_entry(left[i * outputs + o], to, planes - kLowPlanes);
            }
        }
    }

    void clear() const {
        for (std::size_t o = 0; o < outputs; ++o)
            for (std::size_t b = 0; b < planes; ++b) *plane(o, b) = Plane{};
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
    Plane* const window;
    const Counters counters;
    std::uint8_t* const bytes;
    std::int32_t* const rows;

    explicit Body(const SlicedJob& j)
        : job(j), weights(*j.weights), sizes(*j.sizes), pixels(j.shape->pixels()), width(j.shape->width),
          height(j.shape->height), kernel(weights.kernel()), margin(kernel / 2), channels(weights.channels()),
          depth((channels + 63) / 64), outputs(weights.outputs()), planes(weights.planes()), inputs(j.memory),
          masks(inputs + sizes.inputs), table(*reinterpret_cast<Table*>(masks + sizes.masks)),
          window(reinterpret_cast<Plane*>(&table + 1)), counters(counters_at(window + kChunkGroups * kGroup)),
          bytes(reinterpret_cast<std::uint8_t*>(masks + sizes.masks + sizes.tables + sizes.counters)),
          rows(reinterpret_cast<std::int32_t*>(bytes + 8 * sizes.bytes)) {}

    Counters counters_at(Plane* at) const {
        Plane* const high = at + kLowPlanes * outputs;
        Plane* const left = high + (planes - kLowPlanes) * outputs;
        return {reinterpret_cast<Plane(*)[kLowPlanes]>(at), high, reinterpret_cast<Entry*>(left), outputs, planes};
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
                for (std::size_t run = 0; run < kRuns; ++run)
                    for (std::size_t i = 0; i < 64; ++i) {
                        const std::size_t q = first + 64 * run + i;
                        to[i * kRuns + run] = q < pixels ? job.x[q * depth + word] : 0;
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
            for (; from < to && from % 64 != 0; ++from) words[from / 64] &= ~(std::uint64_t{1} << from % 64);
            for (; from + 64 <= to; from += 64) words[from / 64] = 0;
            for (; from < to; ++from) words[from / 64] &= ~(std::uint64_t{1} << from % 64);
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

    // Counts of all outputs for the kLanes pixels `at` pixels into a segment.
    void count(std::size_t at) {
        counters.clear();
        const std::size_t all = weights.inputs();
        std::size_t tap = 0, channel = 0, left = 0;
        for (std::size_t group = 0; group < weights.groups();) {
            const std::size_t size = chunk_groups(weights.groups(), group);
            const std::size_t first = kGroup * group, end = first + kGroup * size;
            for (std::size_t i = first; i < end;) {
                if (i >= all) {
                    window[i++ - first] = Plane{};
                    continue;
                }
                const std::size_t y = tap / kernel, x = tap % kernel;
                const std::size_t from = at + sizes.reach + y * width + x - margin * (width + 1);
                const std::uint64_t* plane = inputs + channel * sizes.line + from / 64;
                const Plane inside = unaligned(mask_of_row(y) + at / 64) & unaligned(mask_of_column(x) + at / 64);
                const std::size_t most = channels - channel < end - i ? channels - channel : end - i;
                for (std::size_t c = 0; c < most; ++c, ++i, plane += sizes.line)
                    window[i - first] = bits_from(plane, from % 64) & inside;
                channel += most;
                if (channel == channels) {
                    channel = 0;
                    ++tap;
                }
            }
            for (std::size_t g = 0; g < size; ++g) fill(table.entries[g], window + kGroup * g);
            const std::uint8_t* codes = weights.codes() + group * outputs;
            if (size == 32) {
                counters.add_whole(table, codes, left);
                if (++left == kMostLeft) {
                    counters.settle(left);
                    left = 0;
                }
            } else if (size == 16) {
                counters.add_short<3>(table, codes);
            } else {
                counters.add_short<2>(table, codes);
            }
            group += size;
        }
        counters.settle(left);
    }

    static BBCODEC_INLINE void fill(Entry* entries, const Plane* x) {
        const Plane sum = x[0] ^ x[1] ^ x[2];
        // A pattern and its complement count 3 together: both planes of one are the other's, inverted.
        for (std::size_t pattern = 0; pattern < 4; ++pattern) {
            const Plane a = pattern & 1 ? ~x[0] : x[0], b = pattern & 2 ? ~x[1] : x[1];
            const bool odd = pattern == 1 || pattern == 2;
            const Plane carry = majority(a, b, x[2]);
            entries[pattern] = {odd ? ~sum : sum, carry};
            entries[7 - pattern] = {odd ? sum : ~sum, ~carry};
        }
    }

    // Signs of `most` pixels, the first of them `first`.
    void signs(std::size_t first, std::size_t most) {
        const ThresholdParams params = job.epilogue->threshold->params();
        const std::int64_t total = static_cast<std::int64_t>(weights.inputs());
        const std::int64_t top = std::int64_t{1} << planes;
        for (std::size_t word = 0; word < params.words; ++word) {
            Plane out[64];
            for (std::size_t i = 0; i < 64; ++i) {
                const std::size_t o = 64 * word + i;
                out[i] = Plane{};
                if (o >= outputs) continue;
                // total - 2 count < limit where count >= least: where count + (top - least) has a carry.
                const std::int64_t least = ((total - params.limits[o]) >> 1) + 1;
                Plane carry = Plane{};
                if (least <= 0) carry = ~carry;
                if (least > 0 && least < top) {
                    const std::uint64_t rest = static_cast<std::uint64_t>(top - least);
                    for (std::size_t b = 0; b < planes; ++b)
                        carry = majority(*counters.plane(o, b), filled(-(rest >> b & 1)), carry);
                }
                out[i] = carry ^ filled(-(params.flips[word] >> i & 1));
            }
            turn_64(out);
            const std::uint64_t* from = reinterpret_cast<const std::uint64_t*>(out);
            std::uint64_t* to = job.epilogue->bits + first * params.words + word;
            for (std::size_t run = 0, p = 0; run < kRuns; ++run)
                for (std::size_t i = 0; i < 64 && p < most; ++i, ++p) to[p * params.words] = from[i * kRuns + run];
        }
    }

    // Accumulators of `most` pixels, the first of them `first`.
    void numbers(std::size_t first, std::size_t most) {
        const std::size_t wide = (outputs + 63) / 64 * 64;
        const std::size_t parts = planes > 8 ? 2 : 1;
        for (std::size_t part = 0; part < parts; ++part)
            for (std::size_t o = 0; o < outputs; o += 8) spread(o, 8 * part, bytes + part * kLanes * wide, wide);
        const std::int32_t total = static_cast<std::int32_t>(weights.inputs());
        const bool raw = job.epilogue->acc != nullptr;
        for (std::size_t start = 0; start < most; start += kRowPixels) {
            const std::size_t many = most - start < kRowPixels ? most - start : kRowPixels;
            std::int32_t* const to = raw ? job.epilogue->acc + (first + start) * outputs : rows;
            const std::size_t stride = raw ? outputs : wide;
            for (std::size_t p = 0; p < many; ++p) {
                const std::uint8_t* low = bytes + (start + p) * wide;
                const std::uint8_t* high = low + kLanes * wide;
                std::int32_t* acc = to + p * stride;
                if (parts == 1) {
                    for (std::size_t o = 0; o < outputs; ++o) acc[o] = total - 2 * low[o];
                } else {
                    for (std::size_t o = 0; o < outputs; ++o) acc[o] = total - 2 * (low[o] | high[o] << 8);
                }
            }
            if (!raw) finish(*job.table, *job.epilogue, rows, wide, outputs, first + start, many);
        }
    }

    // Planes `base` to `base` + 7 of 8 outputs as a byte of each pixel and output, in rows of `wide` outputs.
    void spread(std::size_t o, std::size_t base, std::uint8_t* to, std::size_t wide) {
        Plane fields[8][8];  // [pixel % 8][output]: bytes of the pixels, each 8 behind the other
        for (std::size_t i = 0; i < 8; ++i) {
            Plane v[8];
            for (std::size_t b = 0; b < 8; ++b)
                v[b] = o + i < outputs && base + b < planes ? *counters.plane(o + i, base + b) : Plane{};
            turn_8<1>(v, 1);
            for (std::size_t p = 0; p < 8; ++p) fields[p][i] = v[p];
        }
        for (std::size_t p = 0; p < 8; ++p) {
            turn_8<8>(fields[p], 1);
            const std::uint64_t* from = reinterpret_cast<const std::uint64_t*>(fields[p]);
            for (std::size_t run = 0; run < kRuns; ++run)
                for (std::size_t i = 0; i < 8; ++i)
                    __builtin_memcpy(to + (64 * run + 8 * i + p) * wide + o, from + i * kRuns + run, 8);
        }
    }

    void run() {
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

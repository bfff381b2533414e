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

template <std::size_t Group>
BBCODEC_INLINE Entry look_up(const Table& table, const std::uint8_t* codes) {
    const std::size_t code = codes[Group];
#if BBCODEC_SLICED_BYTES == 64
    // A load of its own for each plane, address and all: compilers make an instruction more of the address, or load twice.
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

// Adds 2^(Level + 1) groups, the first of them `Group`: to `low`, planes 0 to Level, and what is left over are three
// planes of the next weight.
template <std::size_t Level, std::size_t Group>
BBCODEC_INLINE void add_groups(const Table& table, const std::uint8_t* codes, Plane* low, Plane* over) {
    if constexpr (Level == 0) {
        const Entry a = look_up<Group>(table, codes), b = look_up<Group + 1>(table, codes);
        over[0] = add(low[0], a.sum, b.sum);
        over[1] = a.carry;
        over[2] = b.carry;
    } else {
        Plane six[6];
        add_groups<Level - 1, Group>(table, codes, low, six);
        add_groups<Level - 1, Group + (std::size_t{1} << Level)>(table, codes, low, six + 3);
        for (std::size_t i = 0; i < 3; ++i) over[i] = add(low[Level], six[2 * i], six[2 * i + 1]);
    }
}

// A chunk of 2^(Level + 1) groups, for all outputs.
template <std::size_t Level>
void add_chunk(const Table& table, const std::uint8_t* codes, Plane* counters, std::size_t outputs, std::size_t planes) {
    constexpr std::size_t kLow = Level + 1;
    for (std::size_t o = 0; o < outputs; ++o, codes += std::size_t{2} << Level, counters += planes) {
        Plane low[kLow], over[3];
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kLow; ++i) low[i] = counters[i];
        add_groups<Level, 0>(table, codes, low, over);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kLow; ++i) counters[i] = low[i];
        const Plane twice = add(over[0], over[1], over[2]);
        const Plane again = add(counters[kLow], over[0]);
        Plane carry = add(counters[kLow + 1], twice, again);
        for (std::size_t i = kLow + 2; i < planes; ++i) carry = add(counters[i], carry);
    }
}

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
    Plane* const counters;
    std::uint8_t* const bytes;
    std::int32_t* const rows;

    explicit Body(const SlicedJob& j)
        : job(j), weights(*j.weights), sizes(*j.sizes), pixels(j.shape->pixels()), width(j.shape->width),
          height(j.shape->height), kernel(weights.kernel()), margin(kernel / 2), channels(weights.channels()),
          depth((channels + 63) / 64), outputs(weights.outputs()), planes(weights.planes()), inputs(j.memory),
          masks(inputs + sizes.inputs), table(*reinterpret_cast<Table*>(masks + sizes.masks)),
          window(reinterpret_cast<Plane*>(&table + 1)), counters(window + kChunkGroups * kGroup),
          bytes(reinterpret_cast<std::uint8_t*>(reinterpret_cast<std::uint64_t*>(counters) + sizes.counters)),
          rows(reinterpret_cast<std::int32_t*>(bytes + 8 * sizes.bytes)) {}

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
        for (std::size_t i = 0; i < outputs * planes; ++i) counters[i] = Plane{};
        const std::size_t all = weights.inputs();
        std::size_t tap = 0, channel = 0;
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
                const std::size_t right = from % 64, left = 63 - right;
                const std::uint64_t* plane = inputs + channel * sizes.line + from / 64;
                const Plane inside = unaligned(mask_of_row(y) + at / 64) & unaligned(mask_of_column(x) + at / 64);
                const std::size_t most = channels - channel < end - i ? channels - channel : end - i;
                for (std::size_t c = 0; c < most; ++c, ++i, plane += sizes.line)
                    window[i - first] = (unaligned(plane) >> right | unaligned(plane + 1) << 1 << left) & inside;
                channel += most;
                if (channel == channels) {
                    channel = 0;
                    ++tap;
                }
            }
            for (std::size_t g = 0; g < size; ++g) fill(table.entries[g], window + kGroup * g);
            const std::uint8_t* codes = weights.codes() + group * outputs;
            if (size == 32) {
                add_chunk<4>(table, codes, counters, outputs, planes);
            } else if (size == 16) {
                add_chunk<3>(table, codes, counters, outputs, planes);
            } else {
                add_chunk<2>(table, codes, counters, outputs, planes);
            }
            group += size;
        }
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
                        carry = majority(counters[o * planes + b], filled(-(rest >> b & 1)), carry);
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
                v[b] = o + i < outputs && base + b < planes ? counters[(o + i) * planes + base + b] : Plane{};
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

// SPDX-License-Identifier: Apache-2.0
// Bit convolutions in bit slices: pixels to planes, windows, tables, and counters to signs or numbers.
// Compiled once for each width of vectors, after the header of the vectors; no include guard.
#include "engine/kernels/sliced_counters.hpp"

namespace bbcodec {
namespace {

// Rows r[0], r[stride], .. r[7 stride] of 8 fields of `Unit` bits (in every 8 Unit bits) become columns.
template <std::size_t Unit>
BBCODEC_INLINE void turn_8(Plane* r, std::size_t stride) {
    constexpr std::uint64_t kMasks[2][3] = {{0x5555555555555555, 0x3333333333333333, 0x0f0f0f0f0f0f0f0f},
                                            {0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff}};
    static_assert(Unit == 1 || Unit == 8);
    Plane v[8];
    BBCODEC_UNROLL(8)
    for (std::size_t i = 0; i < 8; ++i) v[i] = r[i * stride];
    BBCODEC_UNROLL(3)
    for (std::size_t stage = 0; stage < 3; ++stage) {
        const std::size_t step = std::size_t{1} << stage;
        const std::size_t shift = step * Unit;
        const Plane mask = filled(kMasks[Unit == 8][stage]);
        BBCODEC_UNROLL(8)
        for (std::size_t i = 0; i < 8; ++i) {
            if ((i & step) != 0) continue;
            const Plane swapped = ((v[i] >> shift) ^ v[i + step]) & mask;
            v[i + step] ^= swapped;
            v[i] ^= swapped << shift;
        }
    }
    BBCODEC_UNROLL(8)
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
    Plane sum = Plane{};  // what the chain has reached, for weights with an even number of ones
    std::uint64_t* const limits;
    std::uint64_t* const bytes;
    std::int32_t* const rows;

    explicit Body(const SlicedJob& j)
        : job(j),
          weights(*j.weights),
          sizes(*j.sizes),
          pixels(j.shape->pixels()),
          width(j.shape->width),
          height(j.shape->height),
          kernel(weights.kernel()),
          margin(kernel / 2),
          channels(weights.channels()),
          depth((channels + 63) / 64),
          outputs(weights.outputs()),
          planes(weights.planes()),
          inputs(j.memory),
          masks(inputs + sizes.inputs),
          table(*reinterpret_cast<Table*>(masks + sizes.masks)),
          counters(reinterpret_cast<Plane*>(masks + sizes.masks + sizes.tables), outputs, planes - 1),
          limits(masks + sizes.masks + sizes.tables + sizes.counters),
          bytes(limits + sizes.limits),
          rows(reinterpret_cast<std::int32_t*>(bytes + sizes.bytes)) {}

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
                for (std::size_t i = 0; i < 64; ++i, out += sizes.line) std::memcpy(out, &rows_of[i], sizeof(Plane));
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
                if (before != 0) clear(mask_of_column(tap), inside(left), inside(left + (before < width ? before : width)));
                if (after != 0)
                    clear(mask_of_column(tap), inside(left + (after < width ? width - after : 0)), inside(left + width));
                if (y < before || y + after >= height) clear(mask_of_row(tap), inside(left), inside(left + width));
            }
        }
    }

    // The input planes of kLanes pixels, one after the other: channels of the first tap, of the second, ... then zeros.
    struct Windows {
        const Body& body;
        const std::size_t at;          // pixels from the start of the segment
        const std::uint64_t* channel;  // plane of the channel at hand
        const std::uint64_t* const end;
        std::size_t tap = 0;
        Start start;  // of the tap's planes
        Plane inside;

        Windows(const Body& b, std::size_t from) : body(b), at(from), end(b.inputs + b.channels * b.sizes.line) { aim(); }

        BBCODEC_INLINE void aim() {
            const std::size_t y = tap / body.kernel, x = tap % body.kernel;
            channel = body.inputs;
            start = Start(at + body.sizes.reach + y * body.width + x - body.margin * (body.width + 1));
            inside = unaligned<Plane>(body.mask_of_row(y) + at / 64) & unaligned<Plane>(body.mask_of_column(x) + at / 64);
        }

        void resume(const Windows& other) {
            channel = other.channel;
            tap = other.tap;
            start = other.start;
            inside = other.inside;
        }

        BBCODEC_INLINE Plane next() {
            if (channel == end) {
                if (tap + 1 >= body.kernel * body.kernel) return Plane{};
                ++tap;
                aim();
            }
            const Plane out = bits_from(channel, start, inside);
            channel += body.sizes.line;
            return out;
        }
    };

    // Counts of all outputs for the kLanes pixels `at` pixels into a segment.
    void count(std::size_t at) {
        counters.clear_high();
        if (weights.pairs() < kChunkPairs) counters.clear_low();
        sum = Plane{};
        std::size_t waiting = 0;
        Windows windows(*this, at);
        for (std::size_t pair = 0; pair < weights.pairs();) {
            const std::size_t size = chunk_pairs(weights.pairs(), pair);
            fill(size, windows);
            const std::uint8_t* codes = weights.codes() + pair * outputs;
            if (size == kChunkPairs) {
                if (pair == 0) {
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
            pair += size;
        }
        counters.settle(waiting);
    }

    void fill(std::size_t size, Windows& state) {
        Windows windows = state;  // what is written to the table could be part of the state, for all that compilers know
        Plane chain = sum;
        for (std::size_t i = 0; i < size; ++i) {
            const Plane first = windows.next(), second = windows.next();
            // Of a pattern and its complement, one has a carry where the other has none.
            BBCODEC_UNROLL(4)
            for (std::size_t pattern = 0; pattern < 4; ++pattern) {
                const Plane carry = majority(pattern & 1 ? ~chain : chain, pattern & 2 ? ~first : first, second);
                table.carries[i][pattern] = carry;
                table.carries[i][7 - pattern] = ~carry;
            }
            chain ^= first ^ second;
        }
        sum = chain;
        state.resume(windows);
    }

    // Plane `b` of the count of an output.
    BBCODEC_INLINE Plane counted(std::size_t o, std::size_t b) const {
        return b == 0 ? sum ^ filled(weights.odd(o)) : *counters.plane(o, b - 1);
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
                    carry = counted(o, 0) & filled(bits[0]);
                    BBCODEC_UNROLL(8)
                    for (std::size_t b = 0; b < kLowPlanes; ++b) carry = majority(counters.low[o][b], filled(bits[b + 1]), carry);
                    const Plane* const high = counters.plane(o, kLowPlanes) - kLowPlanes;
                    for (std::size_t b = kLowPlanes; b < counters.planes; ++b)
                        carry = majority(high[b], filled(bits[b + 1]), carry);
                    carry ^= filled(bits[planes]);
                }
                out[i] = carry;
            }
            turn_64(out);
            const std::uint64_t* from = reinterpret_cast<const std::uint64_t*>(out);
            std::uint64_t* to = job.epilogue->bits + first * words + word;
            for (std::size_t run = 0; run < kRuns; ++run) {
                const std::size_t many = most < 64 * run ? 0 : most - 64 * run < 64 ? most - 64 * run : 64;
                for (std::size_t p = 0; p < many; ++p, to += words) *to = from[p * kRuns + run];
            }
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
                    Eight count = widened(from[0]);
                    if (parts == 2) count |= widened(from[kByteLine]) << 8;
                    count = total - 2 * count;
                    std::memcpy(acc, &count, sizeof count);
                }
            }
            if (!direct) finish(*job.table, *job.epilogue, rows, stride, outputs, first + start, many);
        }
    }

    // Planes `base` to `base` + 7 of 8 outputs as a byte of each: a word for each pixel.
    void spread(std::size_t o, std::size_t base, std::uint64_t* to) {
        Plane fields[8][8];  // [pixel % 8][output]: bytes of the pixels, each 8 behind the other
        for (std::size_t i = 0; i < 8; ++i) {
            Plane v[8];
            BBCODEC_UNROLL(8)
            for (std::size_t b = 0; b < 8; ++b) v[b] = o + i < outputs && base + b < planes ? counted(o + i, base + b) : Plane{};
            turn_8<1>(v, 1);
            BBCODEC_UNROLL(8)
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
}  // namespace bbcodec

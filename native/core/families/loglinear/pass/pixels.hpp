// SPDX-License-Identifier: Apache-2.0
// Whole pixels: one that equals a pixel near it, or one that followed the same neighbours before, is found by a few
// decisions, without the network (docs/loglinear.md, "Pixels").
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

// Neighbours: S0 to S15 of docs/local.md, and six more.
constexpr int kAround = 22;
constexpr int kAroundX[kAround] = {-1, 0, -1, 1, -2, 0, 1, 2, -2, -1, -3, 0, 2, -3, -2, 3, -4, -4, -3, -1, 1, 4};
constexpr int kAroundY[kAround] = {0, -1, -1, -1, 0, -2, -2, -1, -1, -2, 0, -3, -2, -1, -2, -2, 0, -1, -2, -3, -3, -2};
constexpr int kRecalls = 3;
constexpr int kCandidates = 4 + kRecalls;
constexpr int kNotFound = 7;  // the code of a pixel that equals no candidate
constexpr std::uint32_t kNoColour = 0xffffffffu;

// A pixel before it is coded, and what was decided about it.
struct Spot {
    std::size_t pixel;  // in the group
    int candidates;
    std::uint32_t candidate[kCandidates];
    std::uint8_t kind[kCandidates];  // the decision's; also the entry of its lines
    std::uint32_t recall[kRecalls];  // where its colour will be kept
    bool asked, found;
    Trace<kPixelContexts> trace;
};

class Pixels {
  public:
    Pixels() = default;

    // neighbours: pixels near that must have been found for a pixel to be asked about.
    void begin(const Layer& layer, const local::PassJob& job, std::size_t slots, std::size_t pixels, int bits, int neighbours) {
        neighbours_ = neighbours, channels_ = job.channels;
        memory_.begin(layer.pixel_weights.data(), layer.pixel_start.data(), bits);
        recall_bits_ = smaller(bits, 16);
        for (Buffer<std::uint32_t>& colours : recalled_) colours.resize(std::size_t{1} << recall_bits_), colours.fill(kNoColour);
        first_.resize(job.blocks);
        std::size_t at = 0;
        for (std::size_t n = 0; n < job.blocks; ++n)
            first_[n] = at, at += static_cast<std::size_t>(job.shapes[n].height) * job.shapes[n].width;
        colours_.resize(pixels + 1), codes_.resize(pixels + 1), spots_.resize(slots);
        colours_[pixels] = job.channels == 3 ? 0x808080 : 0x80;
        codes_[pixels] = 0;
    }

    // Takes the pixels of a block that are known.
    void fill(std::size_t block, const std::uint8_t* samples, std::size_t pixels) {
        for (std::size_t i = 0; i < pixels; ++i) colours_[first_[block] + i] = colour_of(samples + i * channels_);
    }

    // Looks at what is known of the pixel (x, y) of a block.
    void look(std::int32_t slot, std::size_t block, int x, int y, int width) {
        Spot& spot = spots_[slot];
        const std::size_t first = first_[block];
        spot.pixel = first + static_cast<std::size_t>(y) * width + x;
        const std::size_t outside = colours_.size() - 1;
        std::size_t near[kAround];
        if (x >= 4 && y >= 3 && x + 4 < width) {
            for (int i = 0; i < kAround; ++i) near[i] = spot.pixel + kAroundX[i] + static_cast<std::ptrdiff_t>(kAroundY[i]) * width;
        } else {
            for (int i = 0; i < kAround; ++i) {
                const std::int32_t at = moved(x, y, kAroundX[i], kAroundY[i], width);
                near[i] = at < 0 ? outside : first + at;
            }
        }
        std::uint32_t v[kAround];
        for (int i = 0; i < kAround; ++i) v[i] = colours_[near[i]];
        std::uint32_t code[6];
        int known = 0;
        for (int i = 0; i < 6; ++i) code[i] = codes_[near[i]], known += code[i] != kNotFound;
        spot.found = false, spot.asked = known >= neighbours_;
        std::uint32_t hash[4], h = 0;
        const auto add = [&](int from, int to) {
            for (int i = from; i < to; ++i) h = (h + v[i]) * kFactor, h ^= h >> 15;
            return h;
        };
        hash[0] = add(0, 2), hash[1] = add(2, 4), hash[2] = add(4, 12), hash[3] = add(12, kAround);
        spot.candidates = 0;
        const auto offer = [&](std::uint32_t colour, int kind) {
            for (int i = 0; i < spot.candidates; ++i)
                if (spot.candidate[i] == colour) return;
            spot.candidate[spot.candidates] = colour, spot.kind[spot.candidates] = static_cast<std::uint8_t>(kind);
            ++spot.candidates;
        };
        for (int i = 0; i < 4; ++i) offer(v[i], i);
        constexpr int kKept[kRecalls] = {2, 1, 0};
        for (int i = 0; i < kRecalls; ++i) {
            spot.recall[i] = hash[kKept[i]] * kSpread >> (32 - recall_bits_);
            const std::uint32_t colour = recalled_[i][spot.recall[i]];
            if (colour != kNoColour) offer(colour, 4 + i);
        }
        if (!spot.asked) return;
        const auto equal = [&](int a, int b) { return static_cast<std::uint32_t>(v[a] == v[b]); };
        const std::uint32_t near_alike = equal(0, 1) | equal(0, 2) << 1 | equal(0, 3) << 2 | equal(1, 2) << 3 | equal(1, 3) << 4 |
                                         equal(2, 3) << 5 | equal(4, 0) << 6 | equal(5, 1) << 7;
        const std::uint32_t far_alike =
            equal(6, 3) | equal(7, 3) << 1 | equal(8, 2) << 2 | equal(9, 2) << 3 | equal(10, 4) << 4 | equal(11, 5) << 5;
        const std::uint32_t near_codes = code[0] | code[1] << 3 | code[2] << 6 | code[3] << 9;
        const std::uint32_t alike = near_alike | far_alike << 8;
        std::int32_t* to = spot.trace.hash.numbers();
        const auto mixed = [](std::uint32_t a, std::uint32_t b) {
            std::uint32_t m = a * kFactor;
            m = ((m ^ m >> 15) + b) * kFactor;
            return static_cast<std::int32_t>(m ^ m >> 15);
        };
        to[0] = static_cast<std::int32_t>(near_alike);
        for (int i = 0; i < 4; ++i) to[1 + i] = static_cast<std::int32_t>(hash[i]);
        to[5] = mixed(alike, near_codes), to[6] = mixed(v[0], near_alike);
        to[7] = mixed(near_codes | code[4] << 12 | code[5] << 15, 0);
        spot.trace.decisions = 0, spot.trace.lines = 1;
        memory_.find_pixel(spot.trace.hash, spot.trace.line[0]);
        memory_.prefetch(spot.trace.line[0]);
    }

    // Codes whether the pixel of a slot is one of its candidates; returns whether it is. known: its samples, if they are known.
    template <typename Bits>
    bool code(const Layer& layer, std::int32_t slot, bool known, Bits& bits) {
        Spot& spot = spots_[slot];
        if (!spot.asked) return false;
        const std::uint32_t wanted = known ? colours_[spot.pixel] : 0;
        for (int i = 0; i < spot.candidates && !spot.found; ++i) {
            const int kind = spot.kind[i];
            Decision& d = spot.trace.decision[spot.trace.decisions++];
            d = {0, spot.kind[i], spot.kind[i], 0, 0, 0};
            Wide<kPixelContexts> at, entries;
            memory_.places(spot.trace, d, at);
            const int bit = bits.bit(squash(layer, memory_.correction(at, kind, entries)), wanted == spot.candidate[i]);
            d.bit = static_cast<std::uint8_t>(bit);
            if (bit) spot.found = true, colours_[spot.pixel] = spot.candidate[i];
        }
        return spot.found;
    }

    bool found(std::int32_t slot) const { return spots_[slot].found; }

    void put(std::int32_t slot, std::uint8_t* samples) const {
        const std::uint32_t colour = colours_[spots_[slot].pixel];
        if (channels_ == 1)
            samples[0] = static_cast<std::uint8_t>(colour);
        else
            for (int c = 0; c < 3; ++c) samples[local::kCodingOrder[c]] = static_cast<std::uint8_t>(colour >> 8 * (2 - c));
    }

    // Learns from a pixel that is known now. samples: those of the pixel.
    void learn(const Layer& layer, std::int32_t slot, const std::uint8_t* samples) {
        Spot& spot = spots_[slot];
        if (spot.asked) memory_.learn(layer, spot.trace);
        const std::uint32_t colour = colours_[spot.pixel] = colour_of(samples);
        int code = kNotFound;
        for (int i = spot.candidates; i-- > 0;)
            if (spot.candidate[i] == colour) code = smaller(i, 5);
        codes_[spot.pixel] = static_cast<std::uint8_t>(code);
        for (int i = 0; i < kRecalls; ++i) recalled_[i][spot.recall[i]] = colour;
    }

    void fetch(std::int32_t slot) const { memory_.prefetch(spots_[slot].trace.line[0]); }

  private:
    static constexpr std::uint32_t kFactor = 0x9e3779b1u, kSpread = 0xc2b2ae35u;

    std::uint32_t colour_of(const std::uint8_t* samples) const {
        if (channels_ == 1) return samples[0];
        std::uint32_t colour = 0;
        for (int c = 0; c < 3; ++c) colour = colour << 8 | samples[local::kCodingOrder[c]];
        return colour;
    }

    int neighbours_ = 0, channels_ = 0, recall_bits_ = 0;
    Buffer<std::size_t> first_;      // pixel of each block
    Buffer<std::uint32_t> colours_;  // of all pixels, and of the one outside
    Buffer<std::uint8_t> codes_;     // number of the candidate that a pixel equals, at most 5; kNotFound
    Buffer<Spot> spots_;             // of each slot
    Buffer<std::uint32_t> recalled_[kRecalls];
    Memory<kPixelContexts, false> memory_;
};

}  // namespace
}  // namespace bbcodec::loglinear

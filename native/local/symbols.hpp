// SPDX-License-Identifier: Apache-2.0
// From mixtures to samples: the symbols of all lanes of a time, popped from the message.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// The message as it is popped.
struct Source {
    std::uint64_t* head;  // [kLanes]
    const std::uint32_t* words;
    std::size_t size;
    std::size_t taken = 0;
};

// Calls f with the number of components as a constant.
template <typename F>
void with_components(int components, F f) {
    switch (components) {
        case 1: return f(std::integral_constant<int, 1>());
        case 2: return f(std::integral_constant<int, 2>());
        case 3: return f(std::integral_constant<int, 3>());
        case 4: return f(std::integral_constant<int, 4>());
        case 5: return f(std::integral_constant<int, 5>());
        case 6: return f(std::integral_constant<int, 6>());
        case 7: return f(std::integral_constant<int, 7>());
        default: return f(std::integral_constant<int, kMaxComponents>());
    }
}

// Pops the samples of all lanes, half a chunk at a time, and tells how many there are so far; false if the words do not suffice.
template <int J>
bool pop_all(const Tables& t, const Mixtures& all, Group& group, Source& from, std::atomic<std::size_t>& popped) {
    static_assert(kLanes % kHalf == 0);
    constexpr std::uint64_t kMask = (1u << kPrecision) - 1;
    for (std::size_t i = 0; i < group.count; i += kHalf) {
        const std::int32_t* slots = &group.lanes[i];  // those beyond the last are of an earlier time, and what they give is not used
        const Half slot = unaligned<Half>(slots);
        // Lane l of chunk k has number l of the rows of k.
        const Half at = (slot / kChunk) * (all.stride * kChunk) + (slot & (kChunk - 1));
        const bool together = i + kHalf <= group.count && !any(at - at[0] - low(kLaneNumbers));
        const auto of = [&](int part) {
            const std::int32_t* first = all.at(0, part).v;
            return join(together ? unaligned<Half>(first + at[0]) : look_up(first, at), Half{});
        };
        const auto floats = [&](int part) { return reinterpret_cast<Floats>(of(part)); };
        const Mix<J> rough = load_mix<J>(floats);
        Floats known[kProbes];
        for (int p = 0; p < kProbes; ++p) known[p] = floats(all.probes() + p);
        const Logistics<J> mix = exact(rough, 0);
        std::uint64_t* heads = from.head + i % kLanes;
        std::int32_t low_bits[kHalf];
        for (int l = 0; l < kHalf; ++l) low_bits[l] = static_cast<std::int32_t>(heads[l] & kMask);
        const Half cf = unaligned<Half>(low_bits);
        Half below, above;
        const Half guess = nearly(t, rough, cf, of(all.middle()), of(all.unit()), known);
        const Half x = find(t, mix, cf, guess, below, above);
        const Half size = above - below, rest = cf - below;
        const std::size_t n = std::min<std::size_t>(kHalf, group.count - i);
        for (std::size_t l = 0; l < n; ++l) {
            std::uint64_t h = static_cast<std::uint32_t>(size[l]) * (heads[l] >> kPrecision) + static_cast<std::uint32_t>(rest[l]);
            if (h < (std::uint64_t{1} << 31)) {
                if (from.taken == from.size) return false;
                h = h << 32 | from.words[from.taken++];
            }
            heads[l] = h;
            group.chunks[slots[l] / kChunk].sample.v[slots[l] % kChunk] = x[l];
        }
        if (i % kChunk) popped.store(i + n, std::memory_order_release);
    }
    return true;
}

}  // namespace
}  // namespace bbcodec::local

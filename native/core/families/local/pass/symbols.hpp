// SPDX-License-Identifier: Apache-2.0
// Pops the symbols of all lanes of a time from the message.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// A message that is being popped.
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

// Pops the samples of all lanes, half a chunk at a time, and stores their number in `popped`. Returns false if there are too
// few words.
template <int J>
bool pop_all(const Tables& t, const Mixtures& all, Group& group, Source& from, std::atomic<std::size_t>& popped) {
    static_assert(kLanes % kHalf == 0);
    constexpr std::uint64_t kMask = (1u << kPrecision) - 1;
    Heads heads[kLanes / kHalf];
    std::memcpy(heads, from.head, sizeof heads);
    for (std::size_t i = 0; i < group.count; i += kHalf) {
        const std::int32_t* slots =
            &group.lanes[i];  // those beyond the last are of an earlier time, and their results are not used
        const Half slot = unaligned<Half>(slots);
        const std::size_t n = smaller<std::size_t>(kHalf, group.count - i);
        const bool together = n == kHalf && !any(slot - slots[0] - low(kLaneNumbers));
        const auto of = [&](int part) {
            const std::int32_t* first = all.at(0, part).v;
            const Half v = together ? unaligned<Half>(first + slots[0]) : look_up(first, slot);
            return join(v, v);
        };
        const auto floats = [&](int part) { return reinterpret_cast<Floats>(of(part)); };
        const Mix<J> rough = load_mix<J>(floats);
        Floats known[kProbes];
        for (int p = 0; p < kProbes; ++p) known[p] = floats(all.probes() + p);
        const Logistics<J> mix = exact(rough, 0);
        Heads& head = heads[i / kHalf % (kLanes / kHalf)];
        const Half cf = __builtin_convertvector(head & kMask, Half);
        Half below, above;
        const Half guess = nearly(t, rough, cf, of(all.middle()), of(all.unit()), known);
        const Half x = find(t, mix, cf, guess, kSymbols, below, above);
        const Heads next =
            times(__builtin_convertvector(above - below, Heads), head >> kPrecision) + __builtin_convertvector(cf - below, Heads);
        std::int32_t* samples = group.samples[0].v;
        if (n == kHalf) {
            head = next;
        } else {
            for (std::size_t l = 0; l < n; ++l) head[l] = next[l];
        }
        if (together)
            std::memcpy(samples + slots[0], &x, sizeof x);
        else
            for (std::size_t l = 0; l < n; ++l) samples[slots[l]] = x[l];
        if (!refill(head, n, from.words, from.size, from.taken)) return false;
        if (i % kChunk) popped.store(i + n, std::memory_order_release);
    }
    std::memcpy(from.head, heads, sizeof heads);
    return true;
}

}  // namespace
}  // namespace bbcodec::local

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

// Fills up those of n heads that need a word, each with the next; false if the words do not suffice.
inline bool refill(Heads& heads, std::size_t n, Source& from) {
#if BBCODEC_LOCAL_TARGET > 1
    const __m512i h = reinterpret_cast<__m512i>(heads);
    const __mmask8 low = _mm512_cmplt_epu64_mask(h, _mm512_set1_epi64(std::int64_t{1} << 31)) & ((1u << n) - 1);
    const std::size_t needed = static_cast<std::size_t>(__builtin_popcount(low));
    if (needed > from.size - from.taken) return false;
    const __m512i words = _mm512_maskz_cvtepu32_epi64(0xff, _mm256_maskz_expandloadu_epi32(low, from.words + from.taken));
    heads = reinterpret_cast<Heads>(_mm512_mask_or_epi64(h, low, _mm512_maskz_slli_epi64(0xff, h, 32), words));
    from.taken += needed;
#else
    for (std::size_t l = 0; l < n; ++l)
        if (heads[l] < std::uint64_t{1} << 31) {
            if (from.taken == from.size) return false;
            heads[l] = heads[l] << 32 | from.words[from.taken++];
        }
#endif
    return true;
}

// Pops the samples of all lanes, half a chunk at a time, and tells how many there are so far; false if the words do not suffice.
template <int J>
bool pop_all(const Tables& t, const Mixtures& all, Group& group, Source& from, std::atomic<std::size_t>& popped) {
    static_assert(kLanes % kHalf == 0);
    constexpr std::uint64_t kMask = (1u << kPrecision) - 1;
    Heads heads[kLanes / kHalf];
    std::memcpy(heads, from.head, sizeof heads);
    for (std::size_t i = 0; i < group.count; i += kHalf) {
        const std::int32_t* slots = &group.lanes[i];  // those beyond the last are of an earlier time, and what they give is not used
        const Half slot = unaligned<Half>(slots);
        const std::size_t n = std::min<std::size_t>(kHalf, group.count - i);
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
        const Half x = find(t, mix, cf, guess, below, above);
        const Heads next = times(__builtin_convertvector(above - below, Heads), head >> kPrecision) + __builtin_convertvector(cf - below, Heads);
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
        if (!refill(head, n, from)) return false;
        if (i % kChunk) popped.store(i + n, std::memory_order_release);
    }
    std::memcpy(from.head, heads, sizeof heads);
    return true;
}

}  // namespace
}  // namespace bbcodec::local

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

// The mixtures of half h of a chunk's lanes.
template <int J>
Logistics<J> logistics(const Tables& t, const Mixtures& all, std::size_t chunk, int h) {
    Half weight[J], mu[J], e[J];
    for (int j = 0; j < J; ++j) {
        const std::size_t at = j * all.stride + chunk;
        weight[j] = half(all.weight[at].all(), h), mu[j] = half(all.mu[at].all(), h), e[j] = half(all.e[at].all(), h);
    }
    Logistics<J> mix;
    spell_out(t, weight, mu, e, mix);
    return mix;
}

// What a search of the lanes' samples begins with.
template <int J>
void probe_all(const Tables& t, Mixtures& all, std::size_t chunk) {
    Rough<J> mix;
    Ints best = {}, mu = {}, e = {};
    for (int j = 0; j < J; ++j) {
        const std::size_t at = j * all.stride + chunk;
        const Ints weight = all.weight[at].all(), more = weight > best;
        mu = more ? all.mu[at].all() : mu, e = more ? all.e[at].all() : e;
        best = most(best, weight);
        mix.weight[j] = __builtin_convertvector(weight << (kPrecision - 16), Floats);
        mix.mu[j] = __builtin_convertvector(all.mu[at].all(), Floats);
        mix.inverse[j] = reinterpret_cast<Floats>(look_up(reinterpret_cast<const std::int32_t*>(t.rough_inverse.data()), all.e[at].all()));
        const auto put = [&](int part, Floats v) { all.rough[(part * J + j) * all.stride + chunk].all() = reinterpret_cast<Ints>(v); };
        put(0, mix.weight[j]), put(1, mix.mu[j]), put(2, mix.inverse[j]);
    }
    const Ints middle = clamp((mu + 32) >> 6, 1, 255), unit = look_up(t.unit.data(), e);
    all.middle[chunk].all() = middle, all.unit[chunk].all() = unit;
    for (int i = 0; i < kProbes; ++i)
        all.known[i * all.stride + chunk].all() = reinterpret_cast<Ints>(rough_cdf(t, mix, probe(middle, unit, Ints{} + i)));
}

// Pops the samples of all lanes, half a chunk at a time, and tells how many there are so far; false if the words do not suffice.
template <int J>
bool pop_all(const Tables& t, const Mixtures& all, Group& group, Source& from, std::atomic<std::size_t>& popped) {
    static_assert(kLanes % kHalf == 0);
    constexpr std::uint64_t kMask = (1u << kPrecision) - 1;
    for (std::size_t i = 0; i < group.count; i += kHalf) {
        const std::int32_t* slots = &group.lanes[i];  // those beyond the last are of an earlier time, and what they give is not used
        const Half slot = unaligned<Half>(slots);
        const bool together = i + kHalf <= group.count && !any(slot - slots[0] - low(kLaneNumbers));
        const auto of = [&](const std::vector<Row>& rows, int part) {
            const std::int32_t* first = rows[part * all.stride].v;
            return together ? unaligned<Half>(first + slots[0]) : look_up(first, slot);
        };
        const auto wide = [&](const std::vector<Row>& rows, int part) { return join(of(rows, part), Half{}); };
        Half weight[J], mu[J], e[J];
        Rough<J> rough;
        Floats known[kProbes];
        for (int j = 0; j < J; ++j) {
            weight[j] = of(all.weight, j), mu[j] = of(all.mu, j), e[j] = of(all.e, j);
            rough.weight[j] = reinterpret_cast<Floats>(wide(all.rough, j));
            rough.mu[j] = reinterpret_cast<Floats>(wide(all.rough, J + j));
            rough.inverse[j] = reinterpret_cast<Floats>(wide(all.rough, 2 * J + j));
        }
        for (int p = 0; p < kProbes; ++p) known[p] = reinterpret_cast<Floats>(wide(all.known, p));
        Logistics<J> mix;
        spell_out(t, weight, mu, e, mix);
        std::uint64_t* heads = from.head + i % kLanes;
        std::int32_t low_bits[kHalf];
        for (int l = 0; l < kHalf; ++l) low_bits[l] = static_cast<std::int32_t>(heads[l] & kMask);
        const Half cf = unaligned<Half>(low_bits);
        Half below, above;
        const Half guess = nearly(t, rough, cf, wide(all.middle, 0), wide(all.unit, 0), known);
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

// SPDX-License-Identifier: Apache-2.0
// The network for the sixteen lanes of a chunk: an output's sum is a vector of lanes, a weight is a number for all of them.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// Outputs whose sums are kept in registers at the same time.
constexpr int kTile = BBCODEC_LOCAL_TARGET > 1 ? 16 : 8;
constexpr int kBlock = 16;  // outputs whose weights lie together, in Model

// Calls out(o, sums of T outputs from o on) for `outputs` outputs, a multiple of T: sums over i of x[i] times the weights, with
// Product::add for one of them and Product::sum at the end. Weights are [outputs / 16][n][16], as Model has them.
template <typename Product, int T, typename Out>
inline void multiply(const Row* x, int n, const std::int32_t* w, int outputs, Out out) {
    for (int o = 0; o < outputs; o += T) {
        const std::int32_t* row = w + static_cast<std::size_t>(o / kBlock) * n * kBlock + o % kBlock;
        Ints sum[T];
        for (int j = 0; j < T; ++j) sum[j] = Ints{};
        for (int i = 0; i < n; ++i, row += kBlock) {
            const Ints v = x[i].all();
            __builtin_prefetch(row + 8 * kBlock);
            for (int j = 0; j < T; ++j) sum[j] = Product::add(sum[j], v, row[j]);
        }
        for (int j = 0; j < T; ++j) sum[j] = Product::sum(sum[j]);
        out(o, sum);
    }
}

// Pairs of 16-bit numbers.
struct PairProduct {
    static Ints add(Ints sum, Ints x, std::int32_t w) { return dot_pairs(sum, x, Ints{} + w); }
    static Ints sum(Ints v) { return v; }
};

#if BBCODEC_LOCAL_TARGET == 3
// Quads of 8-bit numbers, x without a sign.
struct QuadProduct {
    static Ints add(Ints sum, Ints x, std::int32_t w) {
        return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(x), _mm512_set1_epi32(w)));
    }
    static Ints sum(Ints v) { return v; }
};
using SignProduct = QuadProduct;
#else
// Quads of activations, 8 bits without a sign, and quads of +1 or -1. Below VNNI two sums of 16 bits each, which 64 quads fit into.
struct SignProduct {
    static Ints add(Ints sum, Ints x, std::int32_t w) {
#if BBCODEC_LOCAL_TARGET == 2
        return reinterpret_cast<Ints>(_mm512_add_epi16(reinterpret_cast<__m512i>(sum), _mm512_maddubs_epi16(reinterpret_cast<__m512i>(x), _mm512_set1_epi32(w))));
#elif BBCODEC_LOCAL_TARGET == 1
        return reinterpret_cast<Ints>(_mm256_add_epi16(reinterpret_cast<__m256i>(sum), _mm256_maddubs_epi16(reinterpret_cast<__m256i>(x), _mm256_set1_epi32(w))));
#else
        // Bit 1 of a byte tells -1 from 1: v ^ m - m is v or -v.
        const auto mask = [](std::uint32_t bits) { return Ints{} + static_cast<std::int32_t>((bits >> 1 & 0x00010001) * 0xffffu); };
        const Ints m = mask(static_cast<std::uint32_t>(w)), m2 = mask(static_cast<std::uint32_t>(w) >> 8);
        const Pairs a = reinterpret_cast<Pairs>((x & 0x00ff00ff) ^ m) - reinterpret_cast<Pairs>(m);
        const Pairs b = reinterpret_cast<Pairs>((x >> 8 & 0x00ff00ff) ^ m2) - reinterpret_cast<Pairs>(m2);
        return reinterpret_cast<Ints>(reinterpret_cast<Pairs>(sum) + a + b);
#endif
    }
    static Ints sum(Ints v) { return dot_pairs(Ints{}, v, Ints{} + 0x00010001); }
};
static_assert(kMaxHidden / 4 * 2 * 255 < 1 << 15);
#endif

// A(v) of four streams, as a quad; streams beyond +-32767 have the activations of their clamps.
inline Ints activated(const Ints* v) {
#if BBCODEC_LOCAL_TARGET > 1
    const auto part = [](Ints a, Ints b) {
        const __m512i s = _mm512_packs_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b));
        return _mm512_srai_epi16(_mm512_adds_epi16(s, _mm512_set1_epi16(8)), 4);
    };
    const __m512i bytes = _mm512_packus_epi16(part(v[0], v[1]), part(v[2], v[3]));
    return reinterpret_cast<Ints>(_mm512_shuffle_epi8(bytes, _mm512_set4_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400)));
#elif BBCODEC_LOCAL_TARGET == 1
    const auto part = [](Ints a, Ints b) {
        const __m256i s = _mm256_packs_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b));
        return _mm256_srai_epi16(_mm256_adds_epi16(s, _mm256_set1_epi16(8)), 4);
    };
    const __m256i bytes = _mm256_packus_epi16(part(v[0], v[1]), part(v[2], v[3]));
    const __m128i order = _mm_set_epi32(0x0f0b0703, 0x0e0a0602, 0x0d090501, 0x0c080400);
    return reinterpret_cast<Ints>(_mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order)));
#else
    Ints quad = {};
    for (int i = 0; i < 4; ++i) quad |= clamp((v[i] + 8) >> 4, 0, 255) << (8 * i);
    return quad;
#endif
}

// Sums of T outputs from o on to quads of activations and, if another layer wants them, streams. value(o, sum) is the stream before its
// clamp.
template <int T, typename Value>
inline void advance_all(int o, const Ints* sums, Row* streams, bool keep, Row* activations, Value value) {
    static_assert(T % 4 == 0);
    for (int j = 0; j < T; j += 4) {
        Ints v[4];
        for (int i = 0; i < 4; ++i) v[i] = value(o + j + i, sums[j + i]);
        activations[(o + j) / 4].all() = activated(v);
        if (keep)
            for (int i = 0; i < 4; ++i) streams[o + j + i].all() = clamp(v[i], -32767, 32767);
    }
}

struct Layers {
    Row streams[kMaxHidden], activations[kMaxHidden / 4], next[kMaxHidden / 4];
    Row inputs[(kMaxHidden + kFeatures) / 2];  // pairs

    // From pairs of features (inputs from hidden / 2 on) to activations. side: [H] to add, or none.
    void begin(const Model& m, int c, const Row* side) {
        const int hidden = m.hidden;
        const std::int32_t *scale = &m.first_m[static_cast<std::size_t>(c) * hidden], *bias = &(BBCODEC_LOCAL_TARGET == 3 ? m.first_b_quads : m.first_b)[static_cast<std::size_t>(c) * hidden];
        const auto done = [&](int o, const Ints* sums) {
            advance_all<kTile>(o, sums, streams, m.layers > 0, activations, [&](int h, Ints sum) {
                const Ints v = (sum * scale[h] + (bias[h] + 8192)) >> 14;
                return side ? v + side[h].all() : v;
            });
        };
        const Row* pairs = inputs + hidden / 2;
#if BBCODEC_LOCAL_TARGET == 3
        Row quads[kFeatures / 4];
        for (int q = 0; q < kFeatures / 4; ++q) {
            const Ints a = pairs[2 * q].all(), b = pairs[2 * q + 1].all();
            // Bytes plus 128.
            quads[q].all() = ((a & 0xff) | (a >> 8 & 0xff00) | (b << 16 & 0xff0000) | (b << 8 & 0xff000000)) ^ 0x80808080;
        }
        multiply<QuadProduct, kTile>(quads, kFeatures / 4, &m.first_quads[static_cast<std::size_t>(c) * kFeatures / 4 * hidden], hidden, done);
#else
        multiply<PairProduct, kTile>(pairs, kFeatures / 2, &m.first_pairs[static_cast<std::size_t>(c) * kFeatures / 2 * hidden], hidden, done);
#endif
    }

    void hidden_layer(const Model& m, int layer) {
        const int hidden = m.hidden;
        const std::size_t from = static_cast<std::size_t>(layer) * hidden;
        const std::int32_t *scale = &m.hidden_m[from], *bias = &m.hidden_b[from];
        multiply<SignProduct, kTile>(activations, hidden / 4, &m.hidden_quads[from * hidden / 4], hidden, [&](int o, const Ints* sums) {
            advance_all<kTile>(o, sums, streams, layer + 1 < m.layers, next, [&](int h, Ints sum) {
                return streams[h].all() + ((sum * scale[h] + (bias[h] + 2048)) >> 12);
            });
        });
        std::swap_ranges(activations, activations + hidden / 4, next);
    }

    // Makes pairs of the activations, and the rows that the last layer learns from.
    void end(const Model& m, ShortRow* rows) {
        for (int q = 0; q < m.hidden / 4; ++q, rows += 4) {
            const Ints a = activations[q].all(), one = a & 255, two = a >> 8 & 255, three = a >> 16 & 255, four = a >> 24 & 255;
            inputs[2 * q].all() = one | two << 16;
            inputs[2 * q + 1].all() = three | four << 16;
            rows[0].all() = __builtin_convertvector(one, Shorts), rows[1].all() = __builtin_convertvector(two, Shorts);
            rows[2].all() = __builtin_convertvector(three, Shorts), rows[3].all() = __builtin_convertvector(four, Shorts);
        }
    }

    // The outputs of the last layer.
    void outputs(const Model& m, const std::int32_t* w, const std::int32_t* bias, Ints* to) const {
        const auto done = [&](int o, const Ints* sums, int n) {
            for (int k = 0; k < n; ++k) to[o + k] = (sums[k] + (bias[o + k] + 512)) >> 10;
        };
        const int n = (m.hidden + kFeatures) / 2;
        for (int block = 0; block < m.outputs; block += kBlock) {
            const int end = std::min(m.outputs, block + kBlock);
            int o = block;
            const auto part = [&](auto size) {
                constexpr int kSize = decltype(size)::value;
                for (; o + kSize <= end; o += kSize)
                    multiply<PairProduct, kSize>(inputs, n, w + static_cast<std::size_t>(block) * n + o % kBlock, kSize,
                                                 [&](int, const Ints* sums) { done(o, sums, kSize); });
            };
            part(std::integral_constant<int, 9>());
            part(std::integral_constant<int, 3>());
            part(std::integral_constant<int, 1>());
        }
    }
};

// sums[i][k] += over the lanes x[i] y[k], for all inputs and, last, an input of ones; width is a multiple of the lanes.
inline void outer_products(const ShortRow* x, int n, const ShortRow* y, int outputs, int width, std::int32_t* sums) {
    for (int k = 0; k < outputs; k += kChunk) {
        std::int32_t pairs[kHalf][kChunk] = {};  // of lanes
        for (int o = 0; o < std::min(outputs - k, kChunk); ++o)
            for (int p = 0; p < kHalf; ++p) std::memcpy(&pairs[p][o], y[k + o].v + 2 * p, 4);
        Ints of[kHalf];
        for (int p = 0; p < kHalf; ++p) of[p] = unaligned<Ints>(pairs[p]);
        const auto add = [&](std::int32_t* to, auto pair) {
            __builtin_prefetch(to + 8 * width);
            Ints sum = unaligned<Ints>(to);
            for (int p = 0; p < kHalf; ++p) sum = dot_pairs(sum, Ints{} + pair(p), of[p]);
            std::memcpy(to, &sum, sizeof sum);
        };
        for (int i = 0; i < n; ++i)
            add(sums + static_cast<std::size_t>(i) * width + k, [&](int p) { return unaligned<std::int32_t>(x[i].v + 2 * p); });
        add(sums + static_cast<std::size_t>(n) * width + k, [](int) { return 0x00010001; });
    }
}

}  // namespace
}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// The network for the lanes of a chunk. Up to the last layer a vector holds neighbouring outputs of one lane, and a vector of
// weights serves several lanes while it is in a register. The last layer has few outputs: there a vector holds the lanes.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

constexpr int kBlock = 16;  // outputs whose weights lie together in Model

// Products of activations, broadcast to all outputs, with weights: pairs of 16-bit numbers. ByteProduct has those of quads.
struct PairProduct {
    using Weights = Ints;
    static Weights load(const std::int32_t* w) { return unaligned<Ints>(w); }
    static Ints add(Ints sum, Ints x, Ints w) { return dot_pairs(sum, x, w); }
    static Ints sum(Ints v) { return v; }
};

static_assert(kMaxHidden / 4 * 2 * 255 < 1 << 15);  // a sum of ByteProduct

// Words of the lanes: word i of a lane is at[lane * lane_step + i * step].
struct Words {
    const std::int32_t* at;
    int lane_step, step;
};

// Calls out(lane, o, sums) for all lanes and outputs, V vectors of outputs at a time, from o on. A sum is over the first `used` of
// n words of their products with weights, [outputs / 16][n][16] as in Model. T lanes are computed at a time.
template <typename Product, int T, int V, typename Out>
inline void multiply(Words x, int n, int used, const std::int32_t* w, int outputs, Out out) {
    for (int o = 0; o < outputs; o += V * kChunk) {
        const std::int32_t* rows[V];
        for (int v = 0; v < V; ++v)
            rows[v] = w + static_cast<std::size_t>((o + v * kChunk) / kBlock) * n * kBlock + (o + v * kChunk) % kBlock;
        for (int lane = 0; lane < kChunk; lane += T) {
            const std::int32_t* at = x.at + lane * x.lane_step;
            Ints sum[T][V];
            for (int l = 0; l < T; ++l)
                for (int v = 0; v < V; ++v) sum[l][v] = Ints{};
            for (int i = 0; i < used; ++i, at += x.step) {
                typename Product::Weights weights[V];
                for (int v = 0; v < V; ++v) weights[v] = Product::load(rows[v] + i * kBlock);
                for (int l = 0; l < T; ++l) {
                    const Ints word = Ints{} + at[l * x.lane_step];
                    for (int v = 0; v < V; ++v) sum[l][v] = Product::add(sum[l][v], word, weights[v]);
                }
            }
            for (int l = 0; l < T; ++l) {
                for (int v = 0; v < V; ++v) sum[l][v] = Product::sum(sum[l][v]);
                out(lane + l, o, sum[l]);
            }
        }
    }
}

// Vectors of outputs at a time, and where there are not as many.
constexpr int kWide = kRegisters / 8, kNarrow = 2;

// A(s) of V vectors of neighbouring streams as bytes. Streams beyond +-32767 have the activations of their clamps.
template <int V>
inline void activate(const Ints* s, std::uint8_t* to) {
    if (V == kPackedVectors) return pack_sixteenths(s, to);
    for (int v = 0; v < V; ++v) to_bytes(clamp((s[v] + 8) >> 4, 0, 255), to + v * kChunk);
}

// Features as bytes: four of a lane in a word. The last rows stay empty.
struct Quads {
    Row rows[kBlock];
    void set(const Ints* f) {
        for (int q = 0; q < kFeatures / 4; ++q)
            rows[q].all() = (f[4 * q] & 0xff) | (f[4 * q + 1] & 0xff) << 8 | (f[4 * q + 2] & 0xff) << 16 | f[4 * q + 3] << 24;
    }
    Ints feature(int i) const { return rows[i / 4].all() << (24 - 8 * (i % 4)) >> 24; }
};

// Inputs of the last layer for its learning: each word has an input of two lanes, [kHalf][inputs].
using LanePairs = std::int32_t[kHalf][kMaxInputs];

struct Layers {
    alignas(64) std::int32_t streams[kChunk][kMaxHidden];
    alignas(64) std::uint8_t activations[kChunk][kMaxHidden], next[kChunk][kMaxHidden];
    Row inputs[kMaxInputs / 2];  // pairs of the last layer's inputs

    // Computes the activations from the features. `side` [lane][H] is added, if there is one.
    void begin(const Model& m, int c, const Ints* f, const Quads& quads, const std::int32_t* side) {
        const std::size_t hidden = m.hidden;
        Row* pairs = inputs + hidden / 2;
        for (int p = 0; p < kFeatures / 2; ++p) pairs[p].all() = (f[2 * p] & 0xffff) | f[2 * p + 1] << 16;
        const std::int32_t *scale = &m.first_m[c * hidden], *bias = &(kAnyByteWeights ? m.first_b_quads : m.first_b)[c * hidden];
        const auto value = [&](int lane, std::size_t o, Ints sum) {
            const Ints v = (sum * unaligned<Ints>(scale + o) + (unaligned<Ints>(bias + o) + 8192)) >> 14;
            return side ? v + unaligned<Ints>(side + lane * hidden + o) : v;
        };
        const int used = used_features(c);
        const bool keep = m.layers > 0;
        if constexpr (kAnyByteWeights) {
            Row bytes[kFeatures / 4];  // plus 128, without a sign
            for (int q = 0; q < kFeatures / 4; ++q) bytes[q].all() = quads.rows[q].all() ^ 0x80808080;
            const std::int32_t* w = &m.first_quads[c * kFeatures / 4 * hidden];
            layer<ByteProduct>({bytes[0].v, 1, kChunk}, kFeatures / 4, padded(used, 4) / 4, w, m, keep, activations, value);
        } else {
            (void)quads;
            const std::int32_t* w = &m.first_pairs[c * kFeatures / 2 * hidden];
            layer<PairProduct>({pairs[0].v, 1, kChunk}, kFeatures / 2, padded(used, 2) / 2, w, m, keep, activations, value);
        }
    }

    void hidden_layer(const Model& m, int n) {
        const std::size_t hidden = m.hidden, from = n * hidden;
        const std::int32_t *scale = &m.hidden_m[from], *bias = &m.hidden_b[from];
        if constexpr (kBigEndian) turn_bytes();
        const Words x{reinterpret_cast<const std::int32_t*>(activations[0]), kMaxHidden / 4, 1};
        layer<ByteProduct>(x, m.hidden / 4, m.hidden / 4, &m.hidden_quads[from * hidden / 4], m, n + 1 < m.layers, next,
                           [&](int lane, std::size_t o, Ints sum) {
                               return unaligned<Ints>(streams[lane] + o) +
                                      ((sum * unaligned<Ints>(scale + o) + (unaligned<Ints>(bias + o) + 2048)) >> 12);
                           });
        std::memcpy(activations, next, sizeof next);
    }

    // Makes pairs of activations for the last layer.
    void end(const Model& m) {
        const int quads = m.hidden / 4;
        for (int from = 0; from < quads; from += kChunk) {
            Ints rows[kChunk];
            for (int l = 0; l < kChunk; ++l) rows[l] = as_words(unaligned<Ints>(activations[l] + 4 * from));
            transpose(rows);
            for (int q = 0; q < smaller(kChunk, quads - from); ++q) {
                const Ints v = rows[q];
                inputs[2 * (from + q)].all() = (v & 0xff) | (v << 8 & 0xff0000);
                inputs[2 * (from + q) + 1].all() = (v >> 16 & 0xff) | (v >> 8 & 0xff0000);
            }
        }
    }

    // Does the work of begin and end for a network without hidden layers and side. Here a vector holds the lanes.
    void only(const Model& m, int c, const Ints* f, const Quads& quads) {
        const std::size_t hidden = m.hidden;
        Row* pairs = inputs + hidden / 2;
        for (int p = 0; p < kFeatures / 2; ++p) pairs[p].all() = (f[2 * p] & 0xffff) | f[2 * p + 1] << 16;
        const std::int32_t *scale = &m.first_m[c * hidden], *bias = &(kAnyByteWeights ? m.first_b_quads : m.first_b)[c * hidden];
        using Product = std::conditional_t<kAnyByteWeights, ByteProduct, PairProduct>;
        constexpr int kNumbers = kAnyByteWeights ? 4 : 2;  // of a word
        constexpr int kWords = kFeatures / kNumbers;
        const int words = padded(used_features(c), kNumbers) / kNumbers;
        Ints x[kWords];
        for (int i = 0; i < words; ++i) x[i] = kAnyByteWeights ? quads.rows[i].all() ^ 0x80808080 : pairs[i].all();
        const std::int32_t* w = &(kAnyByteWeights ? m.first_quads : m.first_pairs)[c * kWords * hidden];
        constexpr int kOutputs = kRegisters / 4;  // at a time
        static_assert(kBlock % kOutputs == 0);
        for (std::size_t o = 0; o < hidden; o += kOutputs) {
            const std::int32_t* from = w + o / kBlock * kWords * kBlock + o % kBlock;
            Ints sum[kOutputs];
            for (int k = 0; k < kOutputs; ++k) sum[k] = Ints{};
            for (int i = 0; i < words; ++i)
                for (int k = 0; k < kOutputs; ++k) sum[k] = Product::add(sum[k], x[i], Ints{} + from[i * kBlock + k]);
            for (int k = 0; k < kOutputs; ++k)
                sum[k] = clamp((((Product::sum(sum[k]) * scale[o + k] + (Ints{} + bias[o + k] + 8192)) >> 14) + 8) >> 4, 0, 255);
            for (int k = 0; k < kOutputs; k += 2) inputs[(o + k) / 2].all() = sum[k] | sum[k + 1] << 16;
        }
    }

    // Makes the activations of each lane, which pair_lanes needs; comes after only().
    void part_lanes(const Model& m) {
        const int quads = m.hidden / 4;
        for (int from = 0; from < quads; from += kChunk) {
            Ints rows[kChunk] = {};
            for (int q = 0; q < smaller(kChunk, quads - from); ++q) {
                const Ints a = inputs[2 * (from + q)].all(), b = inputs[2 * (from + q) + 1].all();
                rows[q] = (a & 0xff) | (a >> 8 & 0xff00) | (b & 0xff) << 16 | (b & 0xff0000) << 8;
            }
            transpose(rows);
            for (int l = 0; l < kChunk; ++l) put_words(rows[l], activations[l] + 4 * from);
        }
    }

    // Makes the inputs of the last layer for its learning.
    void pair_lanes(const Model& m, const Quads& quads, LanePairs& to) const {
        alignas(64) std::int8_t features[kChunk][4 * kBlock];
        for (int from = 0; from < kBlock; from += kChunk) {
            Ints rows[kChunk];
            for (int q = 0; q < kChunk; ++q) rows[q] = quads.rows[from + q].all();
            transpose(rows);
            for (int l = 0; l < kChunk; ++l) put_words(rows[l], features[l] + 4 * from);
        }
        for (int p = 0; p < kHalf; ++p) {
            const auto join = [&](const auto* one, const auto* two, int n, std::int32_t* pairs) {
                for (int i = 0; i < n; i += kChunk) {
                    const Ints pair = (from_bytes(one + i) & 0xffff) | from_bytes(two + i) << 16;
                    std::memcpy(pairs + i, &pair, sizeof pair);
                }
            };
            join(activations[2 * p], activations[2 * p + 1], m.hidden, to[p]);
            join(features[2 * p], features[2 * p + 1], kFeatures, to[p] + m.hidden);
        }
    }

    // Computes the outputs of the last layer; LastLayer has the layout of the weights.
    void outputs(const Model& m, int c, const std::int16_t* w, const std::int32_t* bias, Ints* to) const {
        const int n = (m.hidden + padded(used_features(c), 4)) / 2;
        in_parts<9, 6, 3, 1>(m.outputs, [&](auto size, int o) {
            constexpr int kSize = decltype(size)::value;
            const std::int16_t* row = w + static_cast<std::size_t>(o) * kMaxInputs;
            Ints sum[kSize], odd[kSize];  // sums over even and odd inputs: more of them are in flight
            for (int k = 0; k < kSize; ++k) sum[k] = odd[k] = Ints{};
            for (int i = 0; i < n; i += 2, row += 4) {
                const Ints x = inputs[i].all(), x2 = inputs[i + 1].all();
                for (int k = 0; k < kSize; ++k) {
                    sum[k] = dot_pairs(sum[k], x, Ints{} + pair_at(row + k * kMaxInputs));
                    odd[k] = dot_pairs(odd[k], x2, Ints{} + pair_at(row + 2 + k * kMaxInputs));
                }
            }
            for (int k = 0; k < kSize; ++k) to[o + k] = (sum[k] + odd[k] + (bias[o + k] + 512)) >> 10;
        });
    }

  private:
    // Turns the activations from bytes in memory into words.
    void turn_bytes() {
        for (auto& lane : activations)
            for (int i = 0; i < kMaxHidden; i += 4 * kChunk) {
                const Ints words = as_words(unaligned<Ints>(lane + i));
                std::memcpy(lane + i, &words, sizeof words);
            }
    }

    template <typename T>
    static void put_words(Ints words, T* to) {
        const Ints bytes = as_words(words);
        std::memcpy(to, &bytes, sizeof bytes);
    }

    template <typename Product, typename Value>
    void layer(Words x, int n, int used, const std::int32_t* w, const Model& m, bool keep, std::uint8_t (*to)[kMaxHidden],
               Value value) {
        const auto done = [&](auto vectors, int lane, int o, const Ints* sums) {
            constexpr int kVectors = decltype(vectors)::value;
            Ints s[kVectors];
            for (int v = 0; v < kVectors; ++v) {
                s[v] = value(lane, o + v * kChunk, sums[v]);
                if (keep) {
                    const Ints kept = clamp(s[v], -32767, 32767);
                    std::memcpy(streams[lane] + o + v * kChunk, &kept, sizeof kept);
                }
            }
            activate<kVectors>(s, to[lane] + o);
        };
        if (m.hidden % (kWide * kChunk) == 0)
            multiply<Product, 4, kWide>(x, n, used, w, m.hidden, [&](int lane, int o, const Ints* sums) {
                done(std::integral_constant<int, kWide>(), lane, o, sums);
            });
        else
            multiply<Product, kChunk / 2, kNarrow>(x, n, used, w, m.hidden, [&](int lane, int o, const Ints* sums) {
                done(std::integral_constant<int, kNarrow>(), lane, o, sums);
            });
    }
};

// Adds to sums[k][i] the sum of x[i] y[k] over the lanes, and to sums[outputs][k] the sum of y[k].
inline void outer_products(const LanePairs& x, int inputs, const ShortRow* y, int outputs, std::int32_t (*sums)[kMaxInputs]) {
    constexpr int kVectors = kRegisters / 16;
    in_parts<9, 6, 3, 1>(outputs, [&](auto size, int o) {
        constexpr int kSize = decltype(size)::value;
        const auto add = [&](auto vectors, int i) {
            constexpr int kV = decltype(vectors)::value;
            Ints sum[kSize][kV];
            for (int k = 0; k < kSize; ++k)
                for (int v = 0; v < kV; ++v) sum[k][v] = unaligned<Ints>(sums[o + k] + i + v * kChunk);
            for (int p = 0; p < kHalf; ++p) {
                Ints in[kV];
                for (int v = 0; v < kV; ++v) in[v] = unaligned<Ints>(x[p] + i + v * kChunk);
                for (int k = 0; k < kSize; ++k) {
                    const Ints of = Ints{} + pair_at(y[o + k].v + 2 * p);
                    for (int v = 0; v < kV; ++v) sum[k][v] = dot_pairs(sum[k][v], in[v], of);
                }
            }
            for (int k = 0; k < kSize; ++k)
                for (int v = 0; v < kV; ++v) std::memcpy(sums[o + k] + i + v * kChunk, &sum[k][v], sizeof sum[k][v]);
        };
        int i = 0;
        for (; i + kVectors * kChunk <= inputs; i += kVectors * kChunk) add(std::integral_constant<int, kVectors>(), i);
        for (; i < inputs; i += kChunk) add(std::integral_constant<int, 1>(), i);
    });
    for (int k = 0; k < outputs; ++k) {
        std::int32_t sum = 0;
        for (int l = 0; l < kChunk; ++l) sum += y[k].v[l];
        sums[outputs][k] += sum;
    }
}

}  // namespace
}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
// Vectors of 64 bytes for AVX-512 with VNNI; plain.hpp says what each function gives. No include guard.
#include "vectors/x86/avx512_common.hpp"

namespace bbcodec {
namespace {

inline Ints dot_pairs(Ints sum, Ints a, Ints b) { return ints(_mm512_dpwssd_epi32(m512(sum), m512(a), m512(b))); }

// Sums of 32 bits: for any weights of 8 bits.
constexpr bool kAnyByteWeights = true;
struct ByteProduct {
    using Weights = Ints;
    static Weights load(const std::int32_t* w) { return unaligned<Ints>(w); }
    static Ints add(Ints sum, Ints x, Ints w) { return ints(_mm512_dpbusd_epi32(m512(sum), m512(x), m512(w))); }
    static Ints sum(Ints v) { return v; }
};

}  // namespace
}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// Vectors of 64 bytes for AVX-512 with F, BW, VL and DQ; plain.hpp says what each function gives. No include guard.
//
// Some intrinsics have a mask that selects all lanes: GCC 12 warns about their plain forms in its own header, where an
// undefined vector is meant (GCC bug 105593).
#include "vectors/x86/avx512_common.hpp"

namespace bbcodec {
namespace {

inline Ints dot_pairs(Ints sum, Ints a, Ints b) { return sum + ints(_mm512_madd_epi16(m512(a), m512(b))); }

constexpr bool kAnyByteWeights = false;
struct ByteProduct {
    using Weights = Ints;
    static Weights load(const std::int32_t* w) { return unaligned<Ints>(w); }
    static Ints add(Ints sum, Ints x, Ints w) {
        return ints(_mm512_add_epi16(m512(sum), _mm512_maddubs_epi16(m512(x), m512(w))));
    }
    static Ints sum(Ints v) { return dot_pairs(Ints{}, v, Ints{} + 0x00010001); }
};

}  // namespace
}  // namespace bbcodec

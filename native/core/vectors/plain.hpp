// SPDX-License-Identifier: Apache-2.0
// What portable.hpp and sse2.hpp share: loops over 16 bytes, which compilers turn into instructions. It comes after
// `dot_pairs`. No include guard.

namespace bbcodec {
namespace {

constexpr int kRegisters = 16;  // vectors that a loop may hold, a quarter of them for inputs

// ---- memory ----

// Bytes from memory as numbers, and numbers of 0 to 255 to bytes in memory.
template <typename T>
inline Ints from_bytes(const T* at) {
    return Ints{at[0], at[1], at[2], at[3]};
}
inline void to_bytes(Ints v, std::uint8_t* at) {
    for (int l = 0; l < kChunk; ++l) at[l] = static_cast<std::uint8_t>(v[l]);
}
// Writes min(max((s + 8) >> 4, 0), 255) of kPackedVectors vectors as bytes.
constexpr int kPackedVectors = 1;
inline void pack_sixteenths(const Ints* s, std::uint8_t* to) { to_bytes(clamp((s[0] + 8) >> 4, 0, 255), to); }

// table[at] of each lane.
inline Half look_up(const std::int32_t* table, Half at) { return Half{table[at[0]], table[at[1]]}; }
inline Ints look_up(const std::int32_t* table, Ints at) { return Ints{table[at[0]], table[at[1]], table[at[2]], table[at[3]]}; }
inline Floats look_up(const float* table, Ints at) {
    return reinterpret_cast<Floats>(look_up(reinterpret_cast<const std::int32_t*>(table), at));
}
// Numbers of 16 bits.
inline Ints look_up(const std::int16_t* table, Ints at) { return Ints{table[at[0]], table[at[1]], table[at[2]], table[at[3]]}; }
// Both numbers of table[at]; they are not negative.
inline void look_up(const std::array<std::int32_t, 2>* table, Half at, Doubles& first, Doubles& second) {
    for (int l = 0; l < kHalf; ++l) first[l] = table[at[l]][0], second[l] = table[at[l]][1];
}
// table[at] of each lane in tables of 16 or 32 numbers; higher bits of `at` do not count.
inline Ints pick16(const std::int32_t* table, Ints at) { return look_up(table, at & 15); }
inline Floats pick32(const float* table, Ints at) { return look_up(table, at & 31); }

// ---- arithmetic ----

inline bool any(Half v) { return (v[0] | v[1]) != 0; }
inline bool any(Ints v) { return any(low(v) | high(v)); }
// Returns v, which is not negative and below 2^31, without its fraction.
inline Doubles whole(Doubles v) { return to_doubles(truncated(v)); }
// Returns a b modulo 2^64; a is below 2^32.
inline Heads times(Heads a, Heads b) { return a * b; }

// Products of quads of bytes, x without a sign, with weights. Two sums of 16 bits each, so that the weights are +1 or -1
// and there are at most 64 quads.
constexpr bool kAnyByteWeights = false;
struct ByteProduct {
    struct Weights {
        Pairs even, odd;
    };
    static Weights load(const std::int32_t* w) {
        const Pairs both = reinterpret_cast<Pairs>(unaligned<Ints>(w));
        return {both << 8 >> 8, both >> 8};
    }
    static Ints add(Ints sum, Ints x, const Weights& w) {
        const Pairs even = reinterpret_cast<Pairs>(x & 0x00ff00ff), odd = reinterpret_cast<Pairs>(x >> 8 & 0x00ff00ff);
        return reinterpret_cast<Ints>(reinterpret_cast<Pairs>(sum) + even * w.even + odd * w.odd);
    }
    static Ints sum(Ints v) { return dot_pairs(Ints{}, v, Ints{} + 0x00010001); }
};

// Fills up those of n heads that are below 2^31, each with the next word. Of `size` words, `taken` are used. Returns false if
// there are too few.
inline bool refill(Heads& heads, std::size_t n, const std::uint32_t* words, std::size_t size, std::size_t& taken) {
    for (std::size_t l = 0; l < n; ++l)
        if (heads[l] < std::uint64_t{1} << 31) {
            if (taken == size) return false;
            heads[l] = heads[l] << 32 | words[taken++];
        }
    return true;
}

// ---- planes ----

// (a >> right | b << left) & mask, where right + left = 64 and right < 64.
BBCODEC_INLINE Plane funnel(Plane a, Plane b, std::uint64_t right, std::uint64_t left, Plane mask) {
    return (a >> right | b << 1 << (left - 1)) & mask;
}
// The bit that two or three of the bits are.
BBCODEC_INLINE Plane majority(Plane a, Plane b, Plane c) { return a ^ ((a ^ c) & (a ^ b)); }
// Full adder: `total` becomes the sum, the carry is returned.
BBCODEC_INLINE Plane full_add(Plane& total, Plane b, Plane c) {
    // NEON has the second line as one instruction.
    const Plane differ = total ^ b;
    const Plane carry = total ^ ((total ^ c) & differ);
    total = differ ^ c;
    return carry;
}
// Loads the plane `At` + code * Scale bytes into a table.
template <std::size_t At, std::size_t Scale, typename Table>
BBCODEC_INLINE Plane load_coded(const Table& table, std::size_t code) {
    const char* from = reinterpret_cast<const char*>(&table) + code * Scale;
    asm("" : "+r"(from));  // else compilers keep the address of every pair, in more registers than there are
    return *reinterpret_cast<const Plane*>(from + At);
}
// The bytes of a word as numbers.
BBCODEC_INLINE Eight widened(std::uint64_t word) {
    Eight numbers;
    for (std::size_t i = 0; i < 8; ++i) numbers[i] = static_cast<std::int32_t>(word >> (8 * i) & 0xff);
    return numbers;
}

}  // namespace
}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
//
// rANS over the lanes of a message head: plain loops on raw pointers, no Python in sight.
//
// The meaning of every function is bbcodec/rans_kernels/reference.py; the integer logistic is defined in
// bbcodec/distributions/tables.py. Callers check lengths; the functions check values that could do harm.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace bbcodec {

// The format's tables, handed over by Python once.
struct LogisticTables {
    static constexpr int cells = 1024;
    static constexpr int scales = 80;

    struct Cell {
        std::int32_t low, step;  // T[i] and T[i+1] - T[i]
    };
    std::array<Cell, cells> cell;
    std::array<std::int64_t, scales> inverse;     // INV[e]
    std::array<std::int64_t, scales> reciprocal;  // 2^28 / INV[e]; for guesses only
    std::array<std::int32_t, cells> guess;        // steers the search, never decides it

    // sigmoid: int64[1025], inverse_scale: int64[80], guesses: int64[1024].
    // Throws std::invalid_argument if they could make an interval empty or an integer overflow.
    LogisticTables(const std::int64_t* sigmoid, const std::int64_t* inverse_scale, const std::int64_t* guesses);
};

// Push n symbols; `head` is updated in place. `words` has room for n words and is filled from its end.
// Returns the index of the first word. Throws std::invalid_argument for a symbol outside 0..nsym-1,
// and where floor is 0 for one that has no probability.
std::size_t push_logistic(const LogisticTables& tables, std::uint64_t* head, std::size_t lanes,
                          const std::int32_t* symbols, const std::int32_t* mu, const std::int32_t* e, std::size_t n,
                          int nsym, int floor, std::uint32_t* words);

// Pop n symbols; `head` is updated in place. Returns the number of words consumed, or -1 if they run out.
std::ptrdiff_t pop_logistic(const LogisticTables& tables, std::uint64_t* head, std::size_t lanes,
                            const std::int32_t* mu, const std::int32_t* e, std::size_t n, int nsym, int floor,
                            const std::uint32_t* words, std::size_t n_words, std::int32_t* symbols);

// Push n intervals of 2^precision, as push_logistic does. Throws std::invalid_argument for an empty or
// outlying interval.
std::size_t push_freqs(std::uint64_t* head, std::size_t lanes, const std::uint64_t* starts,
                       const std::uint64_t* freqs, std::size_t n, int precision, std::uint32_t* words);

// The same in sections, each of which begins at lane 0; `sections` are their sizes.
std::size_t push_sections(std::uint64_t* head, std::size_t lanes, const std::uint32_t* starts, const std::uint32_t* freqs, std::size_t n,
                          const std::int64_t* sections, std::size_t n_sections, int precision, std::uint32_t* words);

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// rANS over the lanes of a message head: plain loops on raw pointers.
//
// The meaning of every function is bbcodec/coding/kernels/reference.py; the integer logistic is defined in
// bbcodec/coding/logistic_tables.py. Callers check lengths; the functions check values that could do harm.
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

// The head of a message: one rANS state a lane, updated in place.
struct Head {
    std::uint64_t* lanes;
    std::size_t size;
};

// n logistics, one for each symbol in turn; symbols are 0 to nsym - 1.
struct Logistics {
    const LogisticTables* tables;
    const std::int32_t* mu;
    const std::int32_t* e;
    std::size_t n;
    int nsym;
    int floor;  // least frequency of a symbol: 0 or 1
};

// n intervals of 2^precision.
template <typename T>
struct Intervals {
    const T* starts;
    const T* freqs;
    std::size_t n;
    int precision;  // bits
};

// Pushes n symbols. `words` has room for n words and is filled from its end. Returns the index of the first word.
// Throws std::invalid_argument for a symbol outside 0..nsym-1, and where floor is 0 for one that has no probability.
std::size_t push_logistic(Head head, const std::int32_t* symbols, const Logistics& models, std::uint32_t* words);

// Pops n symbols. Returns the number of words consumed, or -1 if they run out.
std::ptrdiff_t pop_logistic(Head head, const Logistics& models, const std::uint32_t* words, std::size_t n_words,
                            std::int32_t* symbols);

// Pushes n intervals, as push_logistic does. Throws std::invalid_argument for an empty or outlying interval.
std::size_t push_freqs(Head head, const Intervals<std::uint64_t>& intervals, std::uint32_t* words);

// The same in sections, each of which begins at lane 0; `sections` are their sizes.
std::size_t push_sections(Head head, const Intervals<std::uint32_t>& intervals, const std::int64_t* sections,
                          std::size_t n_sections, std::uint32_t* words);

}  // namespace bbcodec

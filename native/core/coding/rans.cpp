// SPDX-License-Identifier: Apache-2.0
#include "coding/rans.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace bbcodec {
namespace {

constexpr int kPrecision = 20;
constexpr std::int64_t kTotal = std::int64_t{1} << kPrecision;
constexpr std::int32_t kMuLimit = 1 << 17;
constexpr std::int64_t kHalfRange = std::int64_t{1} << 19;
constexpr std::uint64_t kLower = std::uint64_t{1} << 31;
constexpr int kMaxSymbols = 4096;

void check_nsym(int nsym, int floor) {
    if (nsym < 1 || nsym > kMaxSymbols) throw std::invalid_argument("nsym must be in 1..4096");
    if (floor != 0 && floor != 1) throw std::invalid_argument("floor must be 0 or 1");
}

// One symbol's distribution: parameters clamped, INV looked up.
struct Logistic {
    const LogisticTables& tables;
    std::int64_t mu, inverse, reciprocal;
    std::int64_t nsym, floor, inner;  // inner = 2^20 - floor * nsym, the mass that follows the sigmoid

    Logistic(const LogisticTables& t, std::int32_t mu_, std::int32_t e, std::int64_t n, std::int64_t f)
        : tables(t), mu(std::clamp(mu_, -kMuLimit, kMuLimit)), nsym(n), floor(f), inner(kTotal - f * n) {
        const auto scale = static_cast<std::size_t>(std::clamp(e, 0, LogisticTables::scales - 1));
        inverse = t.inverse[scale];
        reciprocal = t.reciprocal[scale];
    }

    std::int64_t cdf(std::int64_t k) const {
        if (k <= 0) return 0;
        if (k >= nsym) return kTotal;
        const std::int64_t a = std::clamp(((64 * k - 32 - mu) * inverse) >> 10, -kHalfRange, kHalfRange);
        const std::int64_t u = a + kHalfRange;
        const std::int64_t i = std::min<std::int64_t>(u >> 10, LogisticTables::cells - 1);
        const auto [low, step] = tables.cell[static_cast<std::size_t>(i)];
        const std::int64_t c = low + ((step * (u - (i << 10))) >> 10);
        return ((c * inner) >> 30) + floor * k;
    }

    struct Interval {
        std::int64_t k, start, end;
    };

    // The k with cdf(k) <= cf < cdf(k + 1): a guess from the inverted table, then gallop, then bisect.
    // `cell_scale` is 2^42 / inner.
    Interval find(std::int64_t cf, std::uint64_t cell_scale) const {
        const std::int64_t middle = std::clamp<std::int64_t>((mu + 32) >> 6, 0, nsym - 1);
        const auto mass = static_cast<std::uint64_t>(std::max<std::int64_t>(cf - floor * middle, 0));
        const auto cell = std::min<std::uint64_t>((mass * cell_scale) >> 32, LogisticTables::cells - 1);
        const std::int64_t guess = (tables.guess[cell] * reciprocal) >> 18;
        std::int64_t low = std::clamp<std::int64_t>((guess + mu + 32) >> 6, 0, nsym - 1);
        std::int64_t high = low + 1;
        std::int64_t c_low = cdf(low), c_high = cdf(high);
        std::int64_t step = 1;
        while (c_high <= cf) {
            low = high;
            c_low = c_high;
            high = std::min(low + step, nsym);
            c_high = cdf(high);
            step *= 2;
        }
        while (c_low > cf) {
            high = low;
            c_high = c_low;
            low = std::max<std::int64_t>(high - step, 0);
            c_low = cdf(low);
            step *= 2;
        }
        while (high - low > 1) {
            const std::int64_t k = (low + high) >> 1;
            const std::int64_t c = cdf(k);
            if (c <= cf) {
                low = k;
                c_low = c;
            } else {
                high = k;
                c_high = c;
            }
        }
        return {low, c_low, c_high};
    }
};

// h / freq and h % freq of an h that has room to push, below freq 2^(63 - precision). Doubles divide faster than integers of 64
// bits; a quotient below 2^51 that they round is wrong by one at most.
struct Division {
    std::uint64_t quotient, rest;
};
inline Division divide(std::uint64_t h, std::uint64_t freq, int precision) {
    if (precision < 12) return {h / freq, h % freq};
    auto quotient = static_cast<std::int64_t>(static_cast<double>(static_cast<std::int64_t>(h)) /
                                              static_cast<double>(static_cast<std::int64_t>(freq)));
    auto rest = static_cast<std::int64_t>(h) - quotient * static_cast<std::int64_t>(freq);
    const std::int64_t less = rest < 0, more = rest >= static_cast<std::int64_t>(freq);
    quotient += more - less, rest -= (more - less) * static_cast<std::int64_t>(freq);
    return {static_cast<std::uint64_t>(quotient), static_cast<std::uint64_t>(rest)};
}

// Lane update of a push; emits at most one word in front of words[at].
inline std::uint64_t push_one(std::uint64_t h, std::uint64_t start, std::uint64_t freq, int precision, std::uint32_t* words,
                              std::size_t& at) {
    if (h >= ((kLower >> precision) << 32) * freq) {
        words[--at] = static_cast<std::uint32_t>(h);
        h >>= 32;
    }
    const Division part = divide(h, freq, precision);
    return (part.quotient << precision) + part.rest + start;
}

}  // namespace

LogisticTables::LogisticTables(const std::int64_t* sigmoid, const std::int64_t* inverse_scale, const std::int64_t* guesses) {
    if (sigmoid[0] != 0 || sigmoid[cells] != std::int64_t{1} << 30)
        throw std::invalid_argument("the sigmoid table must run from 0 to 2^30");
    for (std::size_t i = 0; i < cells; ++i) {
        if (sigmoid[i + 1] < sigmoid[i]) throw std::invalid_argument("the sigmoid table must not fall");
        cell[i] = {static_cast<std::int32_t>(sigmoid[i]), static_cast<std::int32_t>(sigmoid[i + 1] - sigmoid[i])};
        guess[i] = static_cast<std::int32_t>(std::clamp(guesses[i], -kHalfRange, kHalfRange));
    }
    for (std::size_t e = 0; e < scales; ++e) {
        if (inverse_scale[e] < 1 || inverse_scale[e] > std::int64_t{1} << 22)
            throw std::invalid_argument("inverse scales must be in 1..2^22");
        inverse[e] = inverse_scale[e];
        reciprocal[e] = (std::int64_t{1} << 28) / inverse_scale[e];
    }
}

std::size_t push_logistic(Head head, const std::int32_t* symbols, const Logistics& models, std::uint32_t* words) {
    const auto [tables, mu, e, n, nsym, floor] = models;
    check_nsym(nsym, floor);
    for (std::size_t i = 0; i < n; ++i)
        if (symbols[i] < 0 || symbols[i] >= nsym) throw std::invalid_argument("a symbol is not in 0..nsym-1");
    std::size_t at = n;
    if (n == 0) return at;
    for (std::size_t i = n, lane = (n - 1) % head.size; i-- > 0;) {
        const Logistic model(*tables, mu[i], e[i], nsym, floor);
        const std::int64_t start = model.cdf(symbols[i]);
        const std::int64_t freq = model.cdf(symbols[i] + 1) - start;
        if (freq == 0) throw std::invalid_argument("a symbol has no probability");
        head.lanes[lane] = push_one(head.lanes[lane], static_cast<std::uint64_t>(start), static_cast<std::uint64_t>(freq),
                                    kPrecision, words, at);
        lane = lane ? lane - 1 : head.size - 1;
    }
    return at;
}

std::ptrdiff_t pop_logistic(Head head, const Logistics& models, const std::uint32_t* words, std::size_t n_words,
                            std::int32_t* symbols) {
    const auto [tables, mu, e, n, nsym, floor] = models;
    check_nsym(nsym, floor);
    const std::uint64_t cell_scale = (std::uint64_t{1} << 42) / static_cast<std::uint64_t>(kTotal - floor * nsym);
    std::size_t consumed = 0;
    for (std::size_t i = 0, lane = 0; i < n; ++i) {
        std::uint64_t h = head.lanes[lane];
        const std::uint64_t cf = h & (static_cast<std::uint64_t>(kTotal) - 1);
        const auto [k, start, end] = Logistic(*tables, mu[i], e[i], nsym, floor).find(static_cast<std::int64_t>(cf), cell_scale);
        h = static_cast<std::uint64_t>(end - start) * (h >> kPrecision) + (cf - static_cast<std::uint64_t>(start));
        if (h < kLower) {
            if (consumed == n_words) return -1;
            h = (h << 32) | words[consumed++];
        }
        head.lanes[lane] = h;
        symbols[i] = static_cast<std::int32_t>(k);
        if (++lane == head.size) lane = 0;
    }
    return static_cast<std::ptrdiff_t>(consumed);
}

std::size_t push_freqs(Head head, const Intervals<std::uint64_t>& intervals, std::uint32_t* words) {
    const auto [starts, freqs, n, precision] = intervals;
    if (precision < 0 || precision > 31) throw std::invalid_argument("precision must be in 0..31");
    const std::uint64_t total = std::uint64_t{1} << precision;
    for (std::size_t i = 0; i < n; ++i)
        if (freqs[i] == 0 || freqs[i] > total || starts[i] > total - freqs[i])
            throw std::invalid_argument("an interval is empty or not within 0..2^precision");
    std::size_t at = n;
    if (n == 0) return at;
    for (std::size_t i = n, lane = (n - 1) % head.size; i-- > 0;) {
        head.lanes[lane] = push_one(head.lanes[lane], starts[i], freqs[i], precision, words, at);
        lane = lane ? lane - 1 : head.size - 1;
    }
    return at;
}

std::size_t push_sections(Head head, const Intervals<std::uint32_t>& intervals, const std::int64_t* sections,
                          std::size_t n_sections, std::uint32_t* words) {
    const auto [starts, freqs, n, precision] = intervals;
    if (precision < 0 || precision > 31) throw std::invalid_argument("precision must be in 0..31");
    std::size_t left = n;
    for (std::size_t s = 0; s < n_sections; ++s) {
        if (sections[s] < 0 || static_cast<std::size_t>(sections[s]) > left)
            throw std::invalid_argument("the sections do not match");
        left -= static_cast<std::size_t>(sections[s]);
    }
    if (left) throw std::invalid_argument("the sections do not match");
    const std::uint64_t total = std::uint64_t{1} << precision;
    std::size_t at = n;
    for (std::size_t s = n_sections, i = n; s-- > 0;) {
        const std::size_t size = static_cast<std::size_t>(sections[s]);
        for (std::size_t end = i - size, lane = size % head.size; i > end;) {
            --i, lane = (lane ? lane : head.size) - 1;
            if (freqs[i] == 0 || freqs[i] > total || starts[i] > total - freqs[i])
                throw std::invalid_argument("an interval is empty or not within 0..2^precision");
            head.lanes[lane] = push_one(head.lanes[lane], starts[i], freqs[i], precision, words, at);
        }
    }
    return at;
}

}  // namespace bbcodec

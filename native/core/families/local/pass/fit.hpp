// SPDX-License-Identifier: Apache-2.0
// Least squares: sums that decay along rows and down columns. They are solved once a cell, for all lanes of a chunk.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// Regressors and targets of the lanes of a chunk, for one channel and cell. A word has two pixels side by side, or the third
// pixel and a zero. The target comes after the regressors.
struct Cell {
    Row first[kRegressors + 1], second[kRegressors + 1];
    Row weight, weight2;

    // Stores n regressors of the pixel, from number `regressor` on.
    void put(int pixel, int regressor, const Ints* d, int n) {
        Row* to = (pixel == 2 ? second : first) + regressor;
        if (pixel == 1)
            for (int i = 0; i < n; ++i) to[i].all() = (to[i].all() & 0xffff) | d[i] << 16;
        else
            for (int i = 0; i < n; ++i) to[i].all() = d[i] & 0xffff;
    }
    void put_target(int pixel, Ints target, Ints w) {
        put(pixel, kRegressors, &target, 1);
        if (pixel == 0) weight.all() = w, weight2.all() = Ints{};
        if (pixel == 1) weight.all() |= w << 16;
        if (pixel == 2) weight2.all() = w;
    }
};

inline Floats inverse_pivot(Floats pivot, float ridge) {
    pivot = pivot < ridge ? Floats{} + ridge : pivot;
    return 1.0f / pivot;
}

// Subtracts P pivot rows of a, from row k on, from rows first .. first + R - 1. Each number is read and written once, and the
// pivots act on it in their order.
template <int P, int R>
inline void eliminate(Floats* a, int n, int k, const Floats* r, int first) {
    const Floats* pivot[P];
    Floats factor[R][P];
    Floats* row[R];
    for (int p = 0; p < P; ++p) pivot[p] = a + row_start(n, k + p) - (k + p);
    for (int i = 0; i < R; ++i) {
        row[i] = a + row_start(n, first + i) - (first + i);
        for (int p = 0; p < P; ++p) factor[i][p] = pivot[p][first + i] * r[k + p];
    }
    for (int i = 0; i < R - 1; ++i)  // entries that not all of the rows have
        for (int j = first + i; j < first + R - 1; ++j)
            for (int p = 0; p < P; ++p) row[i][j] = row[i][j] - factor[i][p] * pivot[p][j];
    for (int j = first + R - 1; j <= n; ++j) {
        Floats v[R];
        for (int i = 0; i < R; ++i) v[i] = row[i][j];
        for (int p = 0; p < P; ++p) {
            const Floats t = pivot[p][j];
            for (int i = 0; i < R; ++i) v[i] = v[i] - factor[i][p] * t;
        }
        for (int i = 0; i < R; ++i) row[i][j] = v[i];
    }
}

// Solves the n rows of a, at most Most, laid out as StateLayout says, for w.
template <int Most = kMaxTerms>
inline void solve(Floats* a, int n, float ridge, Floats* w) {
    Floats r[Most];
    int k = 0;
    for (; k + 4 <= n; k += 4) {
        r[k] = inverse_pivot(a[row_start(n, k)], ridge);
        eliminate<1, 1>(a, n, k, r, k + 1);
        r[k + 1] = inverse_pivot(a[row_start(n, k + 1)], ridge);
        eliminate<2, 1>(a, n, k, r, k + 2);
        r[k + 2] = inverse_pivot(a[row_start(n, k + 2)], ridge);
        eliminate<3, 1>(a, n, k, r, k + 3);
        r[k + 3] = inverse_pivot(a[row_start(n, k + 3)], ridge);
        int i = k + 4;
        for (; i + 2 <= n; i += 2) eliminate<4, 2>(a, n, k, r, i);
        if (i < n) eliminate<4, 1>(a, n, k, r, i);
    }
    for (; k < n; ++k) {
        r[k] = inverse_pivot(a[row_start(n, k)], ridge);
        for (int i = k + 1; i < n; ++i) eliminate<1, 1>(a, n, k, r, i);
    }
    for (k = n - 1; k >= 0; --k) {
        w[k] = a[row_start(n, k) + n - k] * r[k];
        for (int i = 0; i < k; ++i) {
            Floats* row = a + row_start(n, i);
            row[n - i] = row[n - i] - row[k - i] * w[k];
        }
    }
}

// Computes the weights from the sums of a row and of a column. First the sums `other` replace lane `lane` of the column's.
inline void fit(const StateLayout& layout, const Row* row, Row* column, int lane, const std::int32_t* other, float ridge,
                Floats* w) {
    Floats a[kMaxTerms * (kMaxTerms + 3) / 2];
    const Ints here = kLaneNumbers == lane;
    for (int i = 0; i < layout.size; ++i) {
        const Ints g = here ? Ints{} + other[i] : column[i].all();
        column[i].all() = g;
        a[i] = __builtin_convertvector(row[i].all() + g, Floats);
    }
    for (int k = 0; k < layout.terms; ++k) a[row_start(layout.terms, k)] += ridge;
    solve<>(a, layout.terms, ridge, w);
}

// Returns the sum of w d, added up in eight parts; d has all regressors.
inline Floats predicted(const StateLayout& layout, const Floats* w, const Floats* d) {
    Floats s[8] = {};
    for (int k = 0; k < layout.terms; ++k) s[k % 8] = s[k % 8] + w[k] * d[layout.regressor[k]];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// Ends a cell: adds it to the row's sums, and these to the column's. The cell below belongs to the next lane, so the column's
// sums move on by a lane, and those of the last lane go to `beyond`.
// Lanes that are not `open` keep their sums.
template <int Along, int Down, bool All>
inline void remember(const StateLayout& layout, const Cell& cell, Ints open, Row* row, Row* column, std::int32_t* beyond) {
    Ints first[kMaxTerms + 1], second[kMaxTerms + 1];
    const int n = layout.terms;
    for (int k = 0; k <= n; ++k) {
        const int from = k < n ? layout.regressor[k] : kRegressors;
        first[k] = cell.first[from].all(), second[k] = cell.second[from].all();
    }
    const Ints weight = cell.weight.all(), weight2 = cell.weight2.all();
    for (int j = 0; j < n; ++j) {
        const Ints scaled = times_pairs(first[j], weight), scaled2 = times_pairs(second[j], weight2);
        for (int i = j; i <= n; ++i, ++row, ++column, ++beyond) {
            Ints f = decay<Along>(dot_pairs(dot_pairs(row->all(), first[i], scaled), second[i], scaled2));
            Ints g = decay<Down>(column->all() + f);
            if (!All) f = open ? f : row->all(), g = open ? g : column->all();
            row->all() = f;
            column->all() = shifted(g);
            *beyond = g[kChunk - 1];
        }
    }
}

// Ends a cell of lanes that all keep their sums.
inline void pass_on(const StateLayout& layout, Row* column, std::int32_t* beyond) {
    for (int e = 0; e < layout.size; ++e) {
        const Ints g = column[e].all();
        column[e].all() = shifted(g);
        beyond[e] = g[kChunk - 1];
    }
}

using Remember = void (*)(const StateLayout&, const Cell&, Ints, Row*, Row*, std::int32_t*);

template <int Along, bool All>
inline Remember remember_down(int down) {
    constexpr Remember kAll[] = {remember<Along, 1, All>, remember<Along, 2, All>, remember<Along, 3, All>, remember<Along, 4, All>};
    return kAll[down - 1];
}
template <bool All>
inline Remember remember_for(const StateLayout& layout) {
    switch (layout.along) {
        case 1: return remember_down<1, All>(layout.down);
        case 2: return remember_down<2, All>(layout.down);
        default: return remember_down<3, All>(layout.down);
    }
}

}  // namespace
}  // namespace bbcodec::local

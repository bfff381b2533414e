// SPDX-License-Identifier: Apache-2.0
// Least squares in floats: sums that decay along rows and down columns. They are solved once a cell, for all lanes of a chunk.
// Part of chain_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::deep {
namespace {

constexpr int kTarget = kRegressors;

// Regressors, targets and weights of the lanes of a chunk, for the three pixels of a cell.
struct Cell {
    Row value[local::kCell][kRegressors + 1];
    Row weight[local::kCell];

    Floats& at(int pixel, int i) { return reinterpret_cast<Floats&>(value[pixel][i]); }
    Floats at(int pixel, int i) const { return reinterpret_cast<const Floats&>(value[pixel][i]); }
    Floats weight_of(int pixel) const { return reinterpret_cast<const Floats&>(weight[pixel]); }
};

inline Floats floats_of(const Row& row) { return reinterpret_cast<Floats>(row.all()); }

// Computes the weights from the sums of a row and of a column. First the sums `other` replace lane `lane` of the column's.
inline void fit(const Layout& layout, const Row* row, Row* column, int lane, const std::int32_t* other, float ridge, Floats* w) {
    Floats a[kRegressors * (kRegressors + 3) / 2];
    const Ints here = kLaneNumbers == lane;
    for (int i = 0; i < layout.size; ++i) {
        column[i].all() = here ? Ints{} + other[i] : column[i].all();
        a[i] = floats_of(column[i]) + floats_of(row[i]);
    }
    for (int k = 0; k < layout.terms; ++k) a[local::row_start(layout.terms, k)] += ridge;
    local::solve<kRegressors>(a, layout.terms, ridge, w);
}

// Returns the sum of w d, added up in eight parts.
inline Floats predicted(const Layout& layout, const Floats* w, const Cell& cell, int pixel) {
    Floats s[8] = {};
    for (int k = 0; k < layout.terms; ++k) s[k % 8] = s[k % 8] + w[k] * cell.at(pixel, layout.regressor[k]);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// Ends a cell: adds it to the row's sums, and these to the column's. The cell below belongs to the next lane, so the column's
// sums move on by a lane, and those of the last lane go to `beyond`.
inline void remember(const Layout& layout, const Cell& cell, Row* row, Row* column, std::int32_t* beyond) {
    constexpr int kPixels = local::kCell;
    Floats d[kRegressors + 1][kPixels], scaled[kRegressors + 1][kPixels];
    const int n = layout.terms;
    for (int k = 0; k <= n; ++k)
        for (int p = 0; p < kPixels; ++p) {
            d[k][p] = cell.at(p, k < n ? layout.regressor[k] : kTarget);
            scaled[k][p] = d[k][p] * cell.weight_of(p);
        }
    for (int j = 0; j < n; ++j)
        for (int i = j; i <= n; ++i, ++row, ++column, ++beyond) {
            Floats f = floats_of(*row);
            for (int p = 0; p < kPixels; ++p) f = f + scaled[i][p] * d[j][p];
            f = f - f * layout.along;
            Floats g = floats_of(*column) + f;
            g = g - g * layout.down;
            const Ints bits = reinterpret_cast<Ints>(g);
            row->all() = reinterpret_cast<Ints>(f);
            column->all() = shifted(bits);
            *beyond = bits[kChunk - 1];
        }
}

}  // namespace
}  // namespace bbcodec::deep

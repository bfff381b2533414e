// SPDX-License-Identifier: Apache-2.0
// Bindings of families/latent: they check lengths and ranges, own buffers and release the GIL. No arithmetic here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "families/latent/cut_mixture.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::CutMixtures;
using bbcodec::CutMixtureTables;
using Table = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Params = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Numbers = bbcodec::Vector<std::int64_t>;

std::vector<std::int64_t> table(const Table& values, std::size_t size) {
    if (values.shape(0) != size) throw nb::value_error("a table of the wrong size");
    return {values.data(), values.data() + size};
}

// Results of a function of (element, number) for numbers of 0 .. most.
template <typename Function>
Numbers each(const CutMixtures& maps, const Table& numbers, std::int64_t most, Function function) {
    const std::size_t n = maps.elements();
    if (numbers.shape(0) != n) throw nb::value_error("as many numbers as maps are needed");
    for (std::size_t i = 0; i < n; ++i)
        if (numbers.data()[i] < 0 || numbers.data()[i] > most) throw nb::value_error("a number is out of range");
    std::unique_ptr<std::int64_t[]> out(new std::int64_t[n]);
    {
        nb::gil_scoped_release release;
        for (std::size_t i = 0; i < n; ++i) out[i] = function(i, numbers.data()[i]);
    }
    return bbcodec::to_numpy(std::move(out), n);
}

}  // namespace

void bind_latent(bbcodec::Module& m) {
    m.add<CutMixtureTables>("CutMixtureTables")
        .def(
            "__init__",
            [](CutMixtureTables* self, Table sigmoid, Table inverse, Table weight) {
                new (self) CutMixtureTables{table(sigmoid, CutMixtureTables::kSigmoid), table(inverse, CutMixtureTables::kScales),
                                            table(weight, CutMixtureTables::kWeights)};
            },
            "sigmoid"_a, "inverse"_a, "weight"_a);
    m.add<CutMixtures>("CutMixtures")
        .def(
            "__init__",
            [](CutMixtures* self, const CutMixtureTables& tables, Params log2_weights, Params means, Params scales, int bits,
               int cells_log2) {
                const std::size_t elements = means.shape(0), components = means.shape(1);
                for (const Params& other : {log2_weights, scales})
                    if (other.shape(0) != elements || other.shape(1) != components)
                        throw nb::value_error("parameters of different shapes");
                if (components < 1 || components > 8 || cells_log2 < 6 || cells_log2 > 14 || bits < cells_log2 || bits > 20)
                    throw nb::value_error("components, bits or cells are out of range");
                nb::gil_scoped_release release;
                new (self) CutMixtures(tables, {log2_weights.data(), means.data(), scales.data(), elements, components}, bits,
                                       cells_log2);
            },
            "tables"_a, "log2_weights"_a, "means"_a, "scales"_a, "bits"_a, "cells_log2"_a)
        .def(
            "ends",
            [](const CutMixtures& self, Table cells) {
                return each(self, cells, self.cells(), [&](std::size_t i, std::int64_t m) { return self.end(i, m); });
            },
            "cells"_a)
        .def(
            "find",
            [](const CutMixtures& self, Table values) {
                return each(self, values, self.total() - 1, [&](std::size_t i, std::int64_t y) { return self.find(i, y); });
            },
            "values"_a);
}

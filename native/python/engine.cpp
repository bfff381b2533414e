// SPDX-License-Identifier: Apache-2.0
// Python bindings of the engine.  Every call checks the shapes of its arrays and releases the GIL while it works.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "bindings.hpp"
#include "engine/convolve.hpp"
#include "engine/kernels/kernels.hpp"
#include "engine/maps.hpp"
#include "select_kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace bbcodec {
namespace {

template <typename T, std::size_t Rank>
using Array = nb::ndarray<T, nb::numpy, nb::ndim<Rank>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Map = Array<T, 4>;

void expect(bool fits, const char* message) {
    if (!fits) throw std::invalid_argument(message);
}

template <typename T>
MapShape shape_of(const Map<T>& map) {
    return {map.shape(0), map.shape(1), map.shape(2)};
}

template <typename T, typename U>
void expect_sides(const Map<T>& x, const Map<U>& out, std::size_t depth) {
    bool fits = out.shape(3) == depth;
    for (std::size_t axis = 0; axis < 3; ++axis) fits = fits && x.shape(axis) == out.shape(axis);
    expect(fits, "the output has the wrong shape");
}

std::size_t words(std::size_t channels) { return (channels + 63) / 64; }

// The three ways to run a convolution, for both kinds.
template <typename Conv, typename X>
void bind_runs(Class<Conv>& cls) {
    const auto run = [](const Conv& conv, const Map<const X>& x, const Epilogue& epilogue) {
        expect(x.shape(3) == conv.depth(), "the input has the wrong number of channels");
        const MapShape shape = shape_of(x);
        const X* data = x.data();
        nb::gil_scoped_release release;
        conv.run(data, shape, epilogue);
    };
    cls.def(
        "acc",
        [run](const Conv& conv, const Map<const X>& x, const Map<std::int32_t>& out) {
            expect_sides(x, out, conv.outputs());
            Epilogue epilogue;
            epilogue.acc = out.data();
            run(conv, x, epilogue);
        },
        "x"_a.noconvert(), "out"_a.noconvert(), "Write the accumulators.");
    cls.def(
        "scale",
        [run](const Conv& conv, const Map<const X>& x, const Scale& scale, const Map<std::int16_t>& out) {
            expect_sides(x, out, conv.outputs());
            expect(scale.channels() == conv.outputs(), "the scale has the wrong number of channels");
            Epilogue epilogue;
            epilogue.scale = &scale;
            epilogue.stream = out.data();
            run(conv, x, epilogue);
        },
        "x"_a.noconvert(), "scale"_a, "out"_a.noconvert(), "Write the requantised stream.");
    cls.def(
        "sign",
        [run](const Conv& conv, const Map<const X>& x, const Threshold& threshold, const Map<std::uint64_t>& out) {
            expect_sides(x, out, words(conv.outputs()));
            expect(threshold.channels() == conv.outputs(), "the threshold has the wrong number of channels");
            Epilogue epilogue;
            epilogue.threshold = &threshold;
            epilogue.bits = out.data();
            run(conv, x, epilogue);
        },
        "x"_a.noconvert(), "threshold"_a, "out"_a.noconvert(), "Write the signs of the requantised stream.");
}

void bind_convs(Module& m) {
    m.add<Scale>("Scale", "Requantise: multiply, shift, clamp per channel.")
        .def(
            "__init__",
            [](Scale* self, const Array<const std::int32_t, 1>& mul, const Array<const std::int64_t, 1>& add, int shift, int lo,
               int hi) {
                expect(mul.shape(0) == add.shape(0), "mul and add have different sizes");
                new (self) Scale(mul.data(), add.data(), mul.shape(0), shift, lo, hi);
            },
            "mul"_a.noconvert(), "add"_a.noconvert(), "shift"_a, "lo"_a, "hi"_a)
        .def(
            "run",
            [](const Scale& scale, const Map<const std::int32_t>& acc, const Map<std::int16_t>& out) {
                expect(acc.shape(3) == scale.channels(), "the input has the wrong number of channels");
                expect_sides(acc, out, scale.channels());
                const std::size_t rows = shape_of(acc).pixels();
                nb::gil_scoped_release release;
                kernels().scale(acc.data(), rows, scale.channels(), scale.params(), out.data());
            },
            "acc"_a.noconvert(), "out"_a.noconvert());

    m.add<Threshold>("Threshold", "Sign of a Requantise: bit = (acc < limit) xor flip.")
        .def(
            "__init__",
            [](Threshold* self, const Array<const std::int32_t, 1>& limits, const Array<const std::uint8_t, 1>& flips) {
                expect(limits.shape(0) == flips.shape(0), "limits and flips have different sizes");
                new (self) Threshold(limits.data(), flips.data(), limits.shape(0));
            },
            "limits"_a.noconvert(), "flips"_a.noconvert());

    Class<BitConv> bit_conv = m.add<BitConv>("BitConv", "Bits x bits.");
    bit_conv.def(
        "__init__",
        [](BitConv* self, const Map<const std::uint64_t>& weight, std::size_t channels) {
            expect(weight.shape(1) == weight.shape(2) && weight.shape(3) == words(channels), "the weight has the wrong shape");
            new (self) BitConv(weight.data(), weight.shape(0), weight.shape(1), channels);
        },
        "weight"_a.noconvert(), "channels"_a);
    bind_runs<BitConv, std::uint64_t>(bit_conv);

    Class<IntConv> int_conv = m.add<IntConv>("IntConv", "int16 x int8; results hold for inputs of lo to hi.");
    int_conv.def(
        "__init__",
        [](IntConv* self, const Map<const std::int8_t>& weight, int lo, int hi) {
            expect(weight.shape(1) == weight.shape(2), "the weight has the wrong shape");
            expect(INT16_MIN <= lo && lo <= hi && hi <= INT16_MAX, "lo <= hi inside of int16 expected");
            new (self) IntConv(weight.data(), weight.shape(0), weight.shape(1), weight.shape(3), lo, hi);
        },
        "weight"_a.noconvert(), "lo"_a = INT16_MIN, "hi"_a = INT16_MAX);
    bind_runs<IntConv, std::int16_t>(int_conv);
}

void bind_maps(Module& m) {
    using Stream = Map<std::int16_t>;
    using ConstStream = Map<const std::int16_t>;
    m.def(
        "add",
        [](const ConstStream& x, const ConstStream& y, int lo, int hi, const Stream& out) {
            expect_sides(x, out, x.shape(3));
            expect_sides(y, out, x.shape(3));
            expect(-32768 <= lo && lo <= hi && hi <= 32767, "lo <= hi inside of int16 expected");
            nb::gil_scoped_release release;
            kernels().add(x.data(), y.data(), x.size(), static_cast<std::int16_t>(lo), static_cast<std::int16_t>(hi), out.data());
        },
        "x"_a.noconvert(), "y"_a.noconvert(), "lo"_a, "hi"_a, "out"_a.noconvert());

    m.def(
        "mul",
        [](const ConstStream& x, const ConstStream& y, int shift, int lo, int hi, const Stream& out) {
            expect_sides(x, out, x.shape(3));
            expect_sides(y, out, x.shape(3));
            expect(1 <= shift && shift <= kMaxMulShift, "shift must be 1 to 15");
            expect(-32768 <= lo && lo <= hi && hi <= 32767, "lo <= hi inside of int16 expected");
            nb::gil_scoped_release release;
            kernels().multiply(x.data(), y.data(), x.size(), {shift, lo, hi}, out.data());
        },
        "x"_a.noconvert(), "y"_a.noconvert(), "shift"_a, "lo"_a, "hi"_a, "out"_a.noconvert());

    m.def(
        "sign",
        [](const ConstStream& x, const Array<const std::int16_t, 1>& threshold, const Map<std::uint64_t>& out) {
            expect_sides(x, out, words(x.shape(3)));
            expect(threshold.shape(0) == x.shape(3), "one threshold a channel expected");
            nb::gil_scoped_release release;
            kernels().sign(x.data(), threshold.data(), shape_of(x).pixels(), x.shape(3), out.data());
        },
        "x"_a.noconvert(), "threshold"_a.noconvert(), "out"_a.noconvert());

    m.def(
        "look_up",
        [](const ConstStream& x, const Array<const std::int16_t, 1>& table, int offset, const Stream& out) {
            expect_sides(x, out, x.shape(3));
            expect(table.shape(0) >= 1 && table.shape(0) <= (1u << 20), "table of 1 to 2^20 entries expected");
            expect(-(1 << 20) <= offset && offset <= 1 << 20, "offset within 2^20 expected");
            const int last = static_cast<int>(table.shape(0)) - 1;
            nb::gil_scoped_release release;
            look_up(x.data(), x.size(), table.data(), last, offset, out.data());
        },
        "x"_a.noconvert(), "table"_a.noconvert(), "offset"_a, "out"_a.noconvert());

    m.def(
        "space_to_depth",
        [](const ConstStream& x, const Stream& out) {
            const bool fits = x.shape(0) == out.shape(0) && x.shape(1) == 2 * out.shape(1) && x.shape(2) == 2 * out.shape(2) &&
                              4 * x.shape(3) == out.shape(3);
            expect(fits, "the output has the wrong shape");
            nb::gil_scoped_release release;
            space_to_depth(x.data(), out.shape(0), out.shape(1), out.shape(2), x.shape(3), out.data());
        },
        "x"_a.noconvert(), "out"_a.noconvert());

    m.def(
        "depth_to_space",
        [](const ConstStream& x, const Stream& out) {
            const bool fits = x.shape(0) == out.shape(0) && 2 * x.shape(1) == out.shape(1) && 2 * x.shape(2) == out.shape(2) &&
                              x.shape(3) == 4 * out.shape(3);
            expect(fits, "the output has the wrong shape");
            nb::gil_scoped_release release;
            depth_to_space(x.data(), x.shape(0), x.shape(1), x.shape(2), out.shape(3), out.data());
        },
        "x"_a.noconvert(), "out"_a.noconvert());
}

}  // namespace

void bind_engine(Module& m) {
    m.def("target", &target, "Instruction set in use.");
    m.def("targets", &targets, "Instruction sets that this CPU offers, weakest first.");
    m.def("set_target", &set_target, "name"_a, "Force an instruction set; ValueError where it is not available.");
    m.def("set_slices", &set_slices, "name"_a,
          "Whether bit convolutions work in bit slices: 'automatic', 'always' or 'never'. For tests: results are the same.");
    bind_convs(m);
    bind_maps(m);
}

}  // namespace bbcodec

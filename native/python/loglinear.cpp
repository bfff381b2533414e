// SPDX-License-Identifier: Apache-2.0
// Bindings of families/loglinear: they check lengths, own buffers and release the GIL. bbcodec/families/loglinear/native.py
// checks the numbers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "families/loglinear/coder.hpp"
#include "groups.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::to_numpy;
using bbcodec::local::Model;
using namespace bbcodec::loglinear;
using namespace bbcodec::python;

void init(Layer* self, const nb::dict& dict) {
    LayerFields f;
    Reader from(dict, "loglinear");
    from.read("contexts", f.contexts), from.read("table_bits", f.table_bits), from.read("skip", f.skip);
    from.read("mix_shift", f.mix_shift), from.read("direct", f.direct), from.read("terms", f.terms), from.read("weights", f.weights);
    from.read("pixel_weights", f.pixel_weights), from.read("pixel_start", f.pixel_start);
    from.read("log", f.log), from.read("squash", f.squash), from.read("rate", f.rate);
    from.finish();
    new (self) Layer(f);
}

void check(int neighbours) {
    if (neighbours < -1 || neighbours > 6) throw nb::value_error("neighbours must be -1 to 6");
}

nb::list encode(const Model& model, const Layer& layer, const Blocks& blocks, const Sizes& sizes, int channels, int threads,
                int neighbours) {
    check(neighbours);
    const Request request(model, sizes, channels, {}, threads);
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    std::unique_ptr<Coder> coder;
    {
        nb::gil_scoped_release release;
        coder = make_coder({request.job, &layer, neighbours});
        coder->encode(data.data());
    }
    nb::list streams;
    for (int s = 0; s < coder->streams(); ++s) {
        const Words words = coder->words(s);
        std::unique_ptr<std::uint32_t[]> copy(new std::uint32_t[words.size]);
        std::copy_n(words.data, words.size, copy.get());
        streams.append(to_numpy(std::move(copy), words.size));
    }
    return streams;
}

// Calls f with a pointer for each block into one array, and returns the array.
template <typename T, typename F>
bbcodec::Vector<T> filled(const Request& request, int channels, F f) {
    const std::size_t size = request.samples / (request.job.channels / channels);
    std::unique_ptr<T[]> all(new T[size]());
    std::vector<T*> data;
    std::size_t at = 0;
    for (const Shape& shape : request.shapes) {
        data.push_back(all.get() + at);
        at += static_cast<std::size_t>(shape.height) * shape.width * channels;
    }
    {
        nb::gil_scoped_release release;
        f(data.data());
    }
    return to_numpy(std::move(all), size);
}

bbcodec::Vector<float> cost(const Model& model, const Layer& layer, const Blocks& blocks, const Sizes& sizes, int channels,
                            int threads, int neighbours) {
    check(neighbours);
    const Request request(model, sizes, channels, {}, threads);
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    return filled<float>(request, 1, [&](float* const* bits) { make_coder({request.job, &layer, neighbours})->cost(data.data(), bits); });
}

nb::tuple decode(const Model& model, const Layer& layer, const std::vector<Array<std::uint32_t>>& streams, const Sizes& sizes,
                 int channels, int threads, int neighbours) {
    check(neighbours);
    const Request request(model, sizes, channels, {}, threads);
    std::vector<Words> words;
    for (const auto& stream : streams) words.push_back({stream.data(), stream.size()});
    bool whole = false;
    auto samples = filled<std::uint8_t>(request, channels, [&](std::uint8_t* const* blocks) {
        const std::unique_ptr<Coder> coder = make_coder({request.job, &layer, neighbours});
        whole = words.size() == static_cast<std::size_t>(coder->streams()) && coder->decode(blocks, words.data());
    });
    return nb::make_tuple(std::move(samples), whole);
}

}  // namespace

void bind_loglinear(bbcodec::Module& m) {
    m.add<Layer>("LogLinearLayer", "The layer of a model, packed for the kernels.").def("__init__", &init, "fields"_a);
    m.def("loglinear_encode", &encode, "model"_a, "layer"_a, "blocks"_a, "sizes"_a, "channels"_a, "threads"_a, "neighbours"_a,
          "Words of every stream of a group, uint32.");
    m.def("loglinear_cost", &cost, "model"_a, "layer"_a, "blocks"_a, "sizes"_a, "channels"_a, "threads"_a, "neighbours"_a,
          "Cost of every pixel of a group in bits, float32.");
    m.def("loglinear_decode", &decode, "model"_a, "layer"_a, "streams"_a, "sizes"_a, "channels"_a, "threads"_a, "neighbours"_a,
          "(samples of all blocks, whether the streams end as they must) of a group.");
}

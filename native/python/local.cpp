// SPDX-License-Identifier: Apache-2.0
// Bindings of families/local: they check lengths, own buffers and release the GIL. bbcodec/families/local/native.py checks
// the numbers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "groups.hpp"
#include "families/local/pass.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::to_numpy;
using namespace bbcodec::local;
using namespace bbcodec::python;

void init(Model* self, const nb::dict& dict) {
    ModelFields f;
    Reader from(dict, "local");
    read_fields(from, f);
    from.finish();
    new (self) Model(f);
}

nb::tuple plan(const Model& model, const Blocks& blocks, const Sizes& sizes, int channels, const Sides& sides, int threads) {
    const Request request(model, sizes, channels, sides, threads);
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    std::unique_ptr<std::uint32_t[]> start(new std::uint32_t[request.samples]), freq(new std::uint32_t[request.samples]);
    {
        nb::gil_scoped_release release;
        make_pass(request.job)->plan(data.data(), start.get(), freq.get());
    }
    return nb::make_tuple(to_numpy(std::move(start), request.samples), to_numpy(std::move(freq), request.samples));
}

nb::tuple observe(const Model& model, const Array<std::uint8_t>& block, int height, int width, int channels) {
    const Request request(model, {{height, width}}, channels, {}, 1);
    expect(block, request.samples, "block");
    const std::size_t n = request.samples;
    std::unique_ptr<std::int8_t[]> features(new std::int8_t[n * kFeatures]);
    std::unique_ptr<std::int32_t[]> facts(new std::int32_t[n * 3]);
    {
        nb::gil_scoped_release release;
        make_pass(request.job)->observe(block.data(), features.get(), facts.get());
    }
    return nb::make_tuple(to_numpy(std::move(features), n * kFeatures), to_numpy(std::move(facts), n * 3));
}

// Empty for a model without latents.
bbcodec::Vector<std::int64_t> statistics_of(const Pass& pass, const PassJob& job) {
    const std::size_t size = job.model->latents ? job.blocks * kStatistics : 0;
    std::unique_ptr<std::int64_t[]> sums(new std::int64_t[size]());
    if (size > 0) pass.add_statistics(sums.get());
    return to_numpy(std::move(sums), size);
}

bbcodec::Vector<std::int64_t> survey(const Model& model, const Blocks& blocks, const Sizes& sizes, int channels, int threads) {
    const Request request(model, sizes, channels, {}, threads);
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    const std::unique_ptr<Pass> pass = make_pass(request.job);
    {
        nb::gil_scoped_release release;
        pass->survey(data.data());
    }
    return statistics_of(*pass, request.job);
}

nb::tuple decode(const Model& model, const Array<std::uint64_t>& head, const Array<std::uint32_t>& words, const Sizes& sizes,
                 int channels, const Sides& sides, int threads) {
    const Request request(model, sizes, channels, sides, threads);
    expect(head, kLanes, "head");
    std::unique_ptr<std::uint64_t[]> lanes(new std::uint64_t[kLanes]);
    std::copy_n(head.data(), kLanes, lanes.get());
    std::unique_ptr<std::uint8_t[]> samples(new std::uint8_t[request.samples]);
    std::vector<std::uint8_t*> data;
    std::size_t at = 0;
    for (const Shape& shape : request.shapes) {
        data.push_back(samples.get() + at);
        at += static_cast<std::size_t>(shape.height) * shape.width * channels;
    }
    std::ptrdiff_t used = 0;
    const std::unique_ptr<Pass> pass = make_pass(request.job);
    {
        nb::gil_scoped_release release;
        used = pass->decode(data.data(), lanes.get(), words.data(), words.size());
    }
    return nb::make_tuple(to_numpy(std::move(samples), request.samples), to_numpy(std::move(lanes), kLanes), used,
                          statistics_of(*pass, request.job));
}

}  // namespace

void bind_local(bbcodec::Module& m) {
    m.add<Model>("LocalModel", "A model, packed for the kernels.").def("__init__", &init, "fields"_a);
    m.def("local_plan", &plan, "model"_a, "blocks"_a, "sizes"_a, "channels"_a, "sides"_a, "threads"_a,
          "(start, freq) of all samples of a group, uint32, in decoding order.");
    m.def("local_observe", &observe, "model"_a, "block"_a, "height"_a, "width"_a, "channels"_a,
          "(features, facts) of every sample of a block, for training.");
    m.def("local_survey", &survey, "model"_a, "blocks"_a, "sizes"_a, "channels"_a, "threads"_a,
          "Statistics of a group's blocks, for models with latents.");
    m.def("local_decode", &decode, "model"_a, "head"_a, "words"_a, "sizes"_a, "channels"_a, "sides"_a, "threads"_a,
          "(samples of all blocks, head, words taken or -1, statistics) of a group.");
}

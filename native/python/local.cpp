// SPDX-License-Identifier: Apache-2.0
//
// Python face of local/: checks lengths, repacks weights, owns buffers, releases the GIL. bbcodec/local/native.py
// checks the numbers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "families/local/model.hpp"
#include "targets.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::local::Model;
using bbcodec::local::Pass;
using bbcodec::local::Shape;

template <typename T>
using Array = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;

template <typename T>
void expect(const Array<T>& array, std::size_t size, const char* name) {
    if (array.size() != size) throw nb::value_error(name);
}

template <typename T, typename To>
void copy(const Array<T>& from, To& to, std::size_t size, const char* name) {
    expect(from, size, name);
    std::copy(from.data(), from.data() + size, to.begin());
}

void copy_prior(Model& m, const Array<std::int32_t>& prior) {
    using namespace bbcodec::local;
    m.prior.assign(m.state_size, 0);
    if (prior.size() == 0) return;
    const std::int32_t* from = prior.data();
    std::size_t size = 0;
    for (const auto& channel : m.state)
        for (const StateLayout& s : channel) size += static_cast<std::size_t>(s.size);
    expect(prior, size, "prior");
    for (const auto& channel : m.state)
        for (const StateLayout& s : channel) {
            std::int32_t* to = &m.prior[s.offset];
            for (int i = 0; i < s.terms; ++i)
                for (int j = 0; j <= i; ++j) to[row_start(s.terms, j) + i - j] = *from++;
            for (int i = 0; i < s.terms; ++i) to[row_start(s.terms, i) + s.terms - i] = *from++;
        }
}

void init(Model* self, int hidden, int layers, int components, std::vector<int> own, std::vector<int> earlier,
          std::vector<int> along, std::vector<int> down, std::int64_t ridge, int rate_q, int every, Array<std::int8_t> first_w, Array<std::int32_t> first_m,
          Array<std::int32_t> first_b, Array<std::int8_t> signs, Array<std::int32_t> hidden_m, Array<std::int32_t> hidden_b,
          Array<std::int32_t> out_w, Array<std::int32_t> out_b, Array<std::int32_t> prior, Array<std::int32_t> positions, bool latents, nb::dict tables) {
    using namespace bbcodec::local;
    auto owner = std::make_unique<Model>();
    Model& m = *owner;
    if (hidden % (layers ? 64 : 32) || hidden < 32 || every < 1 || hidden > kMaxHidden || layers < 0 || components < 1 || components > kMaxComponents ||
        own.size() != 2 || earlier.size() != 2 || along.size() != 2 || down.size() != 2)
        throw nb::value_error("local model: sizes are out of range");
    for (int q = 0; q < 2; ++q)
        if (own[q] < 2 || own[q] > kOwn || earlier[q] < 0 || earlier[q] > kEarlier || along[q] < 1 || along[q] > 3 ||
            down[q] < 1 || down[q] > 4)
            throw nb::value_error("local model: a predictor is out of range");
    m.hidden = hidden, m.layers = layers, m.components = components;
    m.outputs = 3 * components, m.every = every;
    m.ridge = static_cast<float>(ridge), m.rate = static_cast<float>(rate_q) * (1.0f / (1 << 20));
    m.lay_out(own.data(), earlier.data(), along.data(), down.data());
    copy_prior(m, prior);
    m.compare();
    m.latents = latents;
    if (positions.size()) {
        m.positions.resize(3 * bbcodec::local::kNear * static_cast<std::size_t>(hidden));
        copy(positions, m.positions, m.positions.size(), "positions");
    }
    const std::size_t h = hidden, n_in = h + kFeatures, outs = m.outputs;
    expect(first_w, kChannels * kFeatures * h, "first_w");
    m.first_m.resize(kChannels * h), m.first_b.resize(kChannels * h);
    copy(first_m, m.first_m, kChannels * h, "first_m");
    copy(first_b, m.first_b, kChannels * h, "first_b");
    const std::size_t l = layers;
    expect(signs, l * h * h, "signs");
    m.pack(first_w.data(), signs.data());
    m.hidden_m.resize(l * h), m.hidden_b.resize(l * h);
    copy(hidden_m, m.hidden_m, l * h, "hidden_m");
    copy(hidden_b, m.hidden_b, l * h, "hidden_b");
    expect(out_w, kChannels * n_in * outs, "out_w");
    expect(out_b, kChannels * outs, "out_b");
    const auto scaled = [](const Array<std::int32_t>& from, std::vector<float>& to) {
        to.resize(from.size());
        std::transform(from.data(), from.data() + from.size(), to.begin(), [](std::int32_t v) { return static_cast<float>(v) * (1.0f / (1 << 20)); });
    };
    scaled(out_w, m.out_w), scaled(out_b, m.out_b);
    Tables& t = m.tables;
    const auto small = [&](const char* name, std::array<std::int32_t, 80>& to) {
        copy(nb::cast<Array<std::int32_t>>(tables[name]), to, 80, name);
    };
    small("r1", t.r1), small("r2", t.r2), small("sig", t.sig), small("le", t.le);
    std::vector<std::int64_t> sigmoid(1025), inverse(80);
    t.exp.resize(2817);
    copy(nb::cast<Array<std::int32_t>>(tables["exp"]), t.exp, 2817, "exp");
    copy(nb::cast<Array<std::int64_t>>(tables["sigmoid"]), sigmoid, 1025, "sigmoid");
    copy(nb::cast<Array<std::int64_t>>(tables["inverse"]), inverse, 80, "inverse");
    t.complete(sigmoid, inverse);
    new (self) Model(std::move(m));
}

std::unique_ptr<Pass> make(const Model& model, const std::vector<Shape>& shapes, int channels,
                           const std::int32_t* const* side, int threads, const std::string& target) {
    using namespace bbcodec::local;
    const MakePass maker = target == "avx512vnni" ? make_pass_vnni
                           : target == "avx512"   ? make_pass_avx512
                           : target == "avx2"     ? make_pass_avx2
                                                  : make_pass_portable;
    return std::unique_ptr<Pass>(maker(model, shapes, channels, side, threads));
}

// Sizes, pointers and checks that plan and decode share.
struct Request {
    std::vector<Shape> shapes;
    std::vector<const std::int32_t*> side;
    std::size_t samples = 0;

    Request(const Model& model, const std::vector<std::pair<int, int>>& sizes, int channels,
            const std::vector<Array<std::int32_t>>& sides) {
        if (channels != 1 && channels != 3) throw nb::value_error("channels must be 1 or 3");
        if (sizes.empty() || (!sides.empty() && sides.size() != sizes.size())) throw nb::value_error("blocks do not match");
        std::size_t lanes = 0;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const auto [height, width] = sizes[i];
            if (height < 1 || width < 1) throw nb::value_error("a block has no pixels");
            const std::size_t pixels = static_cast<std::size_t>(height) * width;
            shapes.push_back({height, width});
            samples += pixels * channels;
            lanes += std::min(height, (width + 2) / 3);
            if (!sides.empty()) {
                expect(sides[i], model.hidden, "side");
                side.push_back(sides[i].data());
            }
        }
        if (lanes > bbcodec::local::kMaxLanes) throw nb::value_error("a group has too many lanes");
    }
    const std::int32_t* const* sides() const { return side.empty() ? nullptr : side.data(); }
};

template <typename T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> to_numpy(std::unique_ptr<T[]> data, std::size_t n) {
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(raw, {n}, owner);
}

std::vector<const std::uint8_t*> pixels_of(const std::vector<Array<std::uint8_t>>& blocks,
                                           const std::vector<std::pair<int, int>>& sizes, int channels) {
    std::vector<const std::uint8_t*> data;
    if (blocks.size() != sizes.size()) throw nb::value_error("blocks do not match");
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        expect(blocks[i], static_cast<std::size_t>(sizes[i].first) * sizes[i].second * channels, "block");
        data.push_back(blocks[i].data());
    }
    return data;
}

nb::tuple plan(const Model& model, std::vector<Array<std::uint8_t>> blocks, std::vector<std::pair<int, int>> sizes,
               int channels, std::vector<Array<std::int32_t>> sides, int threads, std::string target) {
    const Request request(model, sizes, channels, sides);
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    std::unique_ptr<std::uint32_t[]> start(new std::uint32_t[request.samples]), freq(new std::uint32_t[request.samples]);
    {
        nb::gil_scoped_release release;
        make(model, request.shapes, channels, request.sides(), threads, target)->plan(data.data(), start.get(), freq.get());
    }
    return nb::make_tuple(to_numpy(std::move(start), request.samples), to_numpy(std::move(freq), request.samples));
}

nb::tuple observe(const Model& model, Array<std::uint8_t> block, int height, int width, int channels, std::string target) {
    const Request request(model, {{height, width}}, channels, {});
    expect(block, request.samples, "block");
    const std::size_t n = request.samples;
    std::unique_ptr<std::int8_t[]> features(new std::int8_t[n * bbcodec::local::kFeatures]);
    std::unique_ptr<std::int32_t[]> facts(new std::int32_t[n * 3]);
    {
        nb::gil_scoped_release release;
        make(model, request.shapes, channels, nullptr, 1, target)->observe(block.data(), features.get(), facts.get());
    }
    return nb::make_tuple(to_numpy(std::move(features), n * bbcodec::local::kFeatures), to_numpy(std::move(facts), n * 3));
}

nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>> statistics_of(const Pass& pass, const Model& model) {
    const std::vector<std::int64_t> sums = model.latents ? pass.statistics() : std::vector<std::int64_t>();
    std::unique_ptr<std::int64_t[]> copy(new std::int64_t[sums.size()]);
    std::copy(sums.begin(), sums.end(), copy.get());
    return to_numpy(std::move(copy), sums.size());
}

nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>> survey(const Model& model, std::vector<Array<std::uint8_t>> blocks,
                                                         std::vector<std::pair<int, int>> sizes, int channels, int threads,
                                                         std::string target) {
    const Request request(model, sizes, channels, {});
    const std::vector<const std::uint8_t*> data = pixels_of(blocks, sizes, channels);
    const std::unique_ptr<Pass> pass = make(model, request.shapes, channels, nullptr, threads, target);
    {
        nb::gil_scoped_release release;
        pass->survey(data.data());
    }
    return statistics_of(*pass, model);
}

nb::tuple decode(const Model& model, Array<std::uint64_t> head, Array<std::uint32_t> words,
                 std::vector<std::pair<int, int>> sizes, int channels, std::vector<Array<std::int32_t>> sides, int threads,
                 std::string target) {
    const Request request(model, sizes, channels, sides);
    expect(head, bbcodec::local::kLanes, "head");
    std::unique_ptr<std::uint64_t[]> lanes(new std::uint64_t[bbcodec::local::kLanes]);
    std::copy(head.data(), head.data() + bbcodec::local::kLanes, lanes.get());
    std::unique_ptr<std::uint8_t[]> samples(new std::uint8_t[request.samples]);
    std::vector<std::uint8_t*> data;
    std::size_t at = 0;
    for (const auto& [height, width] : sizes) {
        data.push_back(samples.get() + at);
        at += static_cast<std::size_t>(height) * width * channels;
    }
    std::ptrdiff_t used = 0;
    const std::unique_ptr<Pass> pass = make(model, request.shapes, channels, request.sides(), threads, target);
    {
        nb::gil_scoped_release release;
        used = pass->decode(data.data(), lanes.get(), words.data(), words.size());
    }
    return nb::make_tuple(to_numpy(std::move(samples), request.samples),
                          to_numpy(std::move(lanes), static_cast<std::size_t>(bbcodec::local::kLanes)), used,
                          statistics_of(*pass, model));
}

}  // namespace

void bind_local(nb::module_& m) {
    nb::class_<Model>(m, "LocalModel")
        .def("__init__", &init, "hidden"_a, "layers"_a, "components"_a, "own"_a, "earlier"_a, "along"_a, "down"_a, "ridge"_a, "rate_q"_a, "every"_a,
             "first_w"_a, "first_m"_a, "first_b"_a, "signs"_a, "hidden_m"_a, "hidden_b"_a, "out_w"_a, "out_b"_a, "prior"_a,
             "positions"_a, "latents"_a, "tables"_a);
    m.def("local_plan", &plan, "model"_a, "blocks"_a, "sizes"_a, "channels"_a, "sides"_a, "threads"_a, "target"_a,
          "(start, freq) of all samples of a group, uint32, in decoding order.");
    m.def("local_observe", &observe, "model"_a, "block"_a, "height"_a, "width"_a, "channels"_a, "target"_a,
          "(features, facts) of every sample of a block, for training.");
    m.def("local_survey", &survey, "model"_a, "blocks"_a, "sizes"_a, "channels"_a, "threads"_a, "target"_a,
          "Statistics of a group's blocks, for models with latents.");
    m.def("local_decode", &decode, "model"_a, "head"_a, "words"_a, "sizes"_a, "channels"_a, "sides"_a, "threads"_a, "target"_a,
          "(samples of all blocks, head, words taken or -1, statistics) of a group.");
}

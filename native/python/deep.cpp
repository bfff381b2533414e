// SPDX-License-Identifier: Apache-2.0
// Bindings of families/deep: they check lengths, own buffers and release the GIL. bbcodec/families/deep/native.py checks the
// numbers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings.hpp"
#include "families/deep/pass.hpp"
#include "groups.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::to_numpy;
using bbcodec::local::kFeatures;
using bbcodec::local::kLanes;
using namespace bbcodec::deep;
using bbcodec::python::Array;
using bbcodec::python::expect;
using bbcodec::python::Reader;

constexpr std::size_t kPlaneFields = 5;

void init(Model* self, const nb::dict& dict) {
    ModelFields f;
    Reader from(dict, "deep");
    bbcodec::python::read_fields(from, f.base);
    from.read("phased", f.phased), from.read("scales", f.scales);
    from.finish();
    new (self) Model(f);
}

// A chain, checked.
struct Request {
    std::vector<Plane> planes;
    std::size_t pixels;
    ChainJob job;

    // rows: of each plane two references, role, whether phases are told apart, largest sample.
    Request(const Model& model, const Array<std::int64_t>& rows, int height, int width, int threads) {
        if (height < 1 || width < 1) throw nb::value_error("a plane has no pixels");
        if (std::min(height, (width + 2) / 3) > bbcodec::local::kMaxLanes) throw nb::value_error("a plane has too many lanes");
        if (rows.size() == 0 || rows.size() % kPlaneFields) throw nb::value_error("planes do not have their fields");
        std::array<int, kMaxRoles> kinds{};
        kinds.fill(-1);
        for (std::size_t at = 0; at < rows.size(); at += kPlaneFields) {
            const std::int64_t* row = rows.data() + at;
            const std::int64_t before = static_cast<std::int64_t>(planes.size());
            for (int r = 0; r < kReferences; ++r)
                if (row[r] < -1 || row[r] >= before) throw nb::value_error("a reference is not an earlier plane");
            if (row[2] < 0 || row[2] >= kMaxRoles || row[4] < 1 || row[4] > kMaxTop) throw nb::value_error("a plane is out of range");
            planes.push_back({{static_cast<int>(row[0]), static_cast<int>(row[1])}, static_cast<int>(row[2]), row[3] != 0,
                              static_cast<int>(row[4])});
            int& kind = kinds[static_cast<std::size_t>(row[2])];
            if (kind >= 0 && kind != planes.back().kind()) throw nb::value_error("planes of a role have unlike references");
            kind = planes.back().kind();
        }
        pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
        job = {&model, height, width, planes.data(), planes.size(), threads};
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    template <typename T>
    std::vector<T*> each(T* first) const {
        std::vector<T*> to;
        for (std::size_t p = 0; p < planes.size(); ++p) to.push_back(first + p * pixels);
        return to;
    }
};

template <typename T>
bbcodec::Vector<T> copied(const std::vector<T>& from) {
    std::unique_ptr<T[]> to(new T[from.size()]);
    std::copy(from.begin(), from.end(), to.get());
    return to_numpy(std::move(to), from.size());
}

nb::tuple plan(const Model& model, const Array<std::uint16_t>& samples, const Array<std::int64_t>& planes, int height, int width,
               int threads, bool traced) {
    const Request request(model, planes, height, width, threads);
    expect(samples, request.pixels * request.planes.size(), "samples");
    Symbols symbols(traced);
    {
        nb::gil_scoped_release release;
        make_pass(request.job)->plan(request.each(samples.data()).data(), symbols);
    }
    return nb::make_tuple(copied(symbols.start()), copied(symbols.freq()), copied(symbols.sections()), copied(symbols.pixels()));
}

nb::tuple observe(const Model& model, const Array<std::uint16_t>& samples, const Array<std::int64_t>& planes, int height, int width) {
    const Request request(model, planes, height, width, 1);
    const std::size_t n = request.pixels * request.planes.size();
    expect(samples, n, "samples");
    std::unique_ptr<std::int8_t[]> features(new std::int8_t[n * kFeatures]);
    std::unique_ptr<std::int32_t[]> facts(new std::int32_t[n * 3]);
    {
        nb::gil_scoped_release release;
        make_pass(request.job)->observe(request.each(samples.data()).data(), features.get(), facts.get());
    }
    return nb::make_tuple(to_numpy(std::move(features), n * kFeatures), to_numpy(std::move(facts), n * 3));
}

nb::tuple decode(const Model& model, const Array<std::uint64_t>& head, const Array<std::uint32_t>& words,
                 const Array<std::int64_t>& planes, int height, int width, int threads) {
    const Request request(model, planes, height, width, threads);
    expect(head, kLanes, "head");
    std::unique_ptr<std::uint64_t[]> lanes(new std::uint64_t[kLanes]);
    std::copy_n(head.data(), kLanes, lanes.get());
    const std::size_t n = request.pixels * request.planes.size();
    std::unique_ptr<std::uint16_t[]> samples(new std::uint16_t[n]());
    Decoded found;
    {
        nb::gil_scoped_release release;
        found = make_pass(request.job)->decode(request.each(samples.get()).data(), lanes.get(), words.data(), words.size());
    }
    return nb::make_tuple(to_numpy(std::move(samples), n), to_numpy(std::move(lanes), kLanes), found.taken, found.enough,
                          found.possible);
}

}  // namespace

void bind_deep(bbcodec::Module& m) {
    m.add<Model>("DeepModel", "A model, packed for the kernels.").def("__init__", &init, "fields"_a);
    m.def("deep_plan", &plan, "model"_a, "samples"_a, "planes"_a, "height"_a, "width"_a, "threads"_a, "traced"_a,
          "(start, freq, sections, pixels if traced) of all symbols of a chain, in decoding order.");
    m.def("deep_observe", &observe, "model"_a, "samples"_a, "planes"_a, "height"_a, "width"_a,
          "(features, facts) of every sample of a chain, for training.");
    m.def("deep_decode", &decode, "model"_a, "head"_a, "words"_a, "planes"_a, "height"_a, "width"_a, "threads"_a,
          "(samples, head, words taken, whether there were enough, whether all samples are possible) of a chain.");
}

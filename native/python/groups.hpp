// SPDX-License-Identifier: Apache-2.0
// What the bindings of families that code groups of blocks share: fields of a model, and blocks, checked.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "families/local/pass.hpp"

namespace bbcodec::python {

using local::kMaxLanes;
using local::Model;
using local::PassJob;
using local::Shape;
using local::Span;

template <typename T>
using Array = nanobind::ndarray<const T, nanobind::c_contig, nanobind::device::cpu>;
using Blocks = std::vector<Array<std::uint8_t>>;
using Sizes = std::vector<std::pair<int, int>>;
using Sides = std::vector<Array<std::int32_t>>;

template <typename T>
void expect(const Array<T>& array, std::size_t size, const char* name) {
    if (array.size() != size) throw nanobind::value_error(name);
}

// Reads the fields of a model from a dict, each of them once.
class Reader {
  public:
    Reader(const nanobind::dict& fields, const char* family) : fields_(fields), family_(family) {}

    template <typename T>
    void read(const char* name, T& to) {
        to = nanobind::cast<T>(take(name));
    }
    // The numbers stay where they are: the dict keeps them alive.
    template <typename T>
    void read(const char* name, Span<T>& to) {
        const auto array = nanobind::cast<Array<T>>(take(name), false);
        to = {array.data(), array.size()};
    }
    void finish() const {
        if (fields_.size() != read_) throw nanobind::value_error((family_ + " model: there are unknown fields").c_str());
    }

  private:
    nanobind::object take(const char* name) {
        if (!fields_.contains(name)) throw nanobind::value_error((family_ + " model: no field " + name).c_str());
        ++read_;
        return fields_[name];
    }

    const nanobind::dict& fields_;
    const std::string family_;
    std::size_t read_ = 0;
};

// Reads what models of the family `local` have.
inline void read_fields(Reader& from, local::ModelFields& f) {
    from.read("hidden", f.hidden), from.read("layers", f.layers), from.read("components", f.components);
    from.read("own", f.own), from.read("earlier", f.earlier), from.read("along", f.along), from.read("down", f.down);
    from.read("ridge", f.ridge), from.read("rate_q", f.rate_q), from.read("every", f.every), from.read("latents", f.latents);
    from.read("first_w", f.first_w), from.read("first_m", f.first_m), from.read("first_b", f.first_b);
    from.read("signs", f.signs), from.read("hidden_m", f.hidden_m), from.read("hidden_b", f.hidden_b);
    from.read("out_w", f.out_w), from.read("out_b", f.out_b);
    from.read("prior", f.prior), from.read("positions", f.positions);
    from.read("r1", f.r1), from.read("r2", f.r2), from.read("sig", f.sig), from.read("le", f.le), from.read("exp", f.exp);
    from.read("sigmoid", f.sigmoid), from.read("inverse", f.inverse);
}

// The blocks of a group, checked.
struct Request {
    std::vector<Shape> shapes;
    std::vector<const std::int32_t*> side;
    std::size_t samples = 0;
    PassJob job{};

    Request(const Model& model, const Sizes& sizes, int channels, const Sides& sides, int threads) {
        if (channels != 1 && channels != 3) throw nanobind::value_error("channels must be 1 or 3");
        if (sizes.empty() || (!sides.empty() && sides.size() != sizes.size())) throw nanobind::value_error("blocks do not match");
        std::size_t lanes = 0;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            const auto [height, width] = sizes[i];
            if (height < 1 || width < 1) throw nanobind::value_error("a block has no pixels");
            shapes.push_back({height, width});
            samples += static_cast<std::size_t>(height) * width * channels;
            lanes += std::min(height, (width + 2) / 3);
            if (!sides.empty()) {
                expect(sides[i], model.hidden, "side");
                side.push_back(sides[i].data());
            }
        }
        if (lanes > kMaxLanes) throw nanobind::value_error("a group has too many lanes");
        job = {&model, shapes.data(), shapes.size(), channels, side.empty() ? nullptr : side.data(), threads};
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
};

inline std::vector<const std::uint8_t*> pixels_of(const Blocks& blocks, const Sizes& sizes, int channels) {
    std::vector<const std::uint8_t*> data;
    if (blocks.size() != sizes.size()) throw nanobind::value_error("blocks do not match");
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        expect(blocks[i], static_cast<std::size_t>(sizes[i].first) * sizes[i].second * channels, "block");
        data.push_back(blocks[i].data());
    }
    return data;
}

}  // namespace bbcodec::python

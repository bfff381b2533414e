// SPDX-License-Identifier: Apache-2.0
// Bindings of coding/rans.hpp: they check lengths, own buffers and release the GIL. No arithmetic here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <memory>

#include "arrays.hpp"
#include "bindings.hpp"
#include "coding/rans.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using bbcodec::to_numpy;

template <typename T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
std::unique_ptr<T[]> copy(const T* from, std::size_t n) {
    std::unique_ptr<T[]> to(new T[n]);
    if (n) std::memcpy(to.get(), from, n * sizeof(T));
    return to;
}

// A lane at least, and vectors of n elements.
template <typename... Arrays>
void check(const In<std::uint64_t>& head, std::size_t n, const Arrays&... arrays) {
    if (head.shape(0) == 0) throw nb::value_error("a head needs at least one lane");
    if (((arrays.shape(0) != n) || ...)) throw nb::value_error("vectors of different lengths");
}

// Run a push kernel on a copy of the head; return (head, words).
template <typename Kernel>
nb::tuple run_push(const In<std::uint64_t>& head, std::size_t n, Kernel kernel) {
    const std::size_t lanes = head.shape(0);
    std::unique_ptr<std::uint64_t[]> lanes_out;
    std::unique_ptr<std::uint32_t[]> words;
    std::size_t n_words = 0;
    {
        nb::gil_scoped_release release;
        lanes_out = copy(head.data(), lanes);
        std::unique_ptr<std::uint32_t[]> buffer(new std::uint32_t[n]);
        const std::size_t first = kernel(bbcodec::Head{lanes_out.get(), lanes}, buffer.get());
        n_words = n - first;
        words = copy(buffer.get() + first, n_words);
    }
    return nb::make_tuple(to_numpy(std::move(lanes_out), lanes), to_numpy(std::move(words), n_words));
}

nb::tuple push_logistic(const bbcodec::LogisticTables& tables, In<std::uint64_t> head, In<std::int32_t> symbols,
                        In<std::int32_t> mu, In<std::int32_t> e, int nsym, int floor) {
    const std::size_t n = symbols.shape(0);
    check(head, n, mu, e);
    return run_push(head, n, [&](bbcodec::Head lanes, std::uint32_t* words) {
        return bbcodec::push_logistic(lanes, symbols.data(), {&tables, mu.data(), e.data(), n, nsym, floor}, words);
    });
}

nb::tuple push_freqs(In<std::uint64_t> head, In<std::uint64_t> starts, In<std::uint64_t> freqs, int precision) {
    const std::size_t n = starts.shape(0);
    check(head, n, freqs);
    return run_push(head, n, [&](bbcodec::Head lanes, std::uint32_t* words) {
        return bbcodec::push_freqs(lanes, {starts.data(), freqs.data(), n, precision}, words);
    });
}

nb::tuple push_sections(In<std::uint64_t> head, In<std::uint32_t> starts, In<std::uint32_t> freqs, In<std::int64_t> sections,
                        int precision) {
    const std::size_t n = starts.shape(0);
    check(head, n, freqs);
    return run_push(head, n, [&](bbcodec::Head lanes, std::uint32_t* words) {
        return bbcodec::push_sections(lanes, {starts.data(), freqs.data(), n, precision}, sections.data(), sections.shape(0),
                                      words);
    });
}

nb::tuple pop_logistic(const bbcodec::LogisticTables& tables, In<std::uint64_t> head, In<std::int32_t> mu, In<std::int32_t> e,
                       int nsym, int floor, In<std::uint32_t> words) {
    const std::size_t n = mu.shape(0), lanes = head.shape(0);
    check(head, n, e);
    std::unique_ptr<std::uint64_t[]> lanes_out;
    std::unique_ptr<std::int32_t[]> symbols;
    std::ptrdiff_t consumed = 0;
    {
        nb::gil_scoped_release release;
        lanes_out = copy(head.data(), lanes);
        symbols.reset(new std::int32_t[n]());
        consumed = bbcodec::pop_logistic({lanes_out.get(), lanes}, {&tables, mu.data(), e.data(), n, nsym, floor}, words.data(),
                                         words.shape(0), symbols.get());
    }
    return nb::make_tuple(to_numpy(std::move(lanes_out), lanes), to_numpy(std::move(symbols), n), consumed);
}

}  // namespace

void bind_rans(bbcodec::Module& m) {
    m.add<bbcodec::LogisticTables>("LogisticTables", "The tables of the integer logistic, checked once.")
        .def(
            "__init__",
            [](bbcodec::LogisticTables* self, In<std::int64_t> sigmoid, In<std::int64_t> inverse_scale,
               In<std::int64_t> guesses) {
                using Tables = bbcodec::LogisticTables;
                if (sigmoid.shape(0) != Tables::cells + 1 || inverse_scale.shape(0) != Tables::scales ||
                    guesses.shape(0) != Tables::cells)
                    throw nb::value_error("tables of 1025, 80 and 1024 entries expected");
                new (self) Tables(sigmoid.data(), inverse_scale.data(), guesses.data());
            },
            "sigmoid"_a, "inverse_scale"_a, "guesses"_a);
    m.def("push_logistic", &push_logistic, "tables"_a, "head"_a, "symbols"_a, "mu"_a, "e"_a, "nsym"_a, "floor"_a,
          "Push symbols; returns (head, words).");
    m.def("pop_logistic", &pop_logistic, "tables"_a, "head"_a, "mu"_a, "e"_a, "nsym"_a, "floor"_a, "words"_a,
          "Pop symbols; returns (head, symbols, words consumed or -1).");
    m.def("push_freqs", &push_freqs, "head"_a, "starts"_a, "freqs"_a, "precision"_a, "Push intervals; returns (head, words).");
    m.def("push_sections", &push_sections, "head"_a, "starts"_a, "freqs"_a, "sections"_a, "precision"_a,
          "Push intervals in sections that begin at lane 0 each; returns (head, words).");
}

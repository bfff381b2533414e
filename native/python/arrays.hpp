// SPDX-License-Identifier: Apache-2.0
// Arrays that go back to Python.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <memory>

namespace bbcodec {

template <typename T>
using Vector = nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<1>>;

// Returns an array that owns the data.
template <typename T>
Vector<T> to_numpy(std::unique_ptr<T[]> data, std::size_t n) {
    T* raw = data.release();
    nanobind::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Vector<T>(raw, {n}, owner);
}

}  // namespace bbcodec

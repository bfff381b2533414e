// SPDX-License-Identifier: Apache-2.0
// How functions and classes come into the module: through these two classes alone, so that no call can run without a
// NormalFloats. The attribute __normal_floats__ of the module lists what went through; tests/native/test_float_mode.py
// compares it with what the module has.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <utility>

#include "float_mode.hpp"

namespace bbcodec {

using Guarded = nanobind::call_guard<NormalFloats>;

template <typename T>
class Class {
  public:
    Class(nanobind::class_<T> type, const char* name, nanobind::list names) : type_(type), name_(name), names_(names) {}

    template <typename Function, typename... Extra>
    Class& def(const char* name, Function&& function, const Extra&... extra) {
        type_.def(name, std::forward<Function>(function), Guarded(), extra...);
        names_.append((name_ + "." + name).c_str());
        return *this;
    }

  private:
    nanobind::class_<T> type_;
    std::string name_;
    nanobind::list names_;
};

class Module {
  public:
    explicit Module(nanobind::module_ module) : module_(module) { module_.attr("__normal_floats__") = names_; }

    template <typename Function, typename... Extra>
    void def(const char* name, Function&& function, const Extra&... extra) {
        module_.def(name, std::forward<Function>(function), Guarded(), extra...);
        names_.append(name);
    }
    template <typename T, typename... Extra>
    Class<T> add(const char* name, const Extra&... extra) {
        return Class<T>(nanobind::class_<T>(module_, name, extra...), name, names_);
    }

  private:
    nanobind::module_ module_;
    nanobind::list names_;
};

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
#include "families/loglinear/coder.hpp"

#include "select_kernels.hpp"

namespace bbcodec::loglinear {

Coder::~Coder() = default;

std::unique_ptr<Coder> make_coder(const Job& job) { return std::unique_ptr<Coder>(loglinear_coder_maker()(job)); }

}  // namespace bbcodec::loglinear

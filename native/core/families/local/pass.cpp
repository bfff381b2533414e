// SPDX-License-Identifier: Apache-2.0
#include "families/local/pass.hpp"

#include "select_kernels.hpp"

namespace bbcodec::local {

Pass::~Pass() = default;

std::unique_ptr<Pass> make_pass(const PassJob& job) { return std::unique_ptr<Pass>(local_pass_maker()(job)); }

}  // namespace bbcodec::local

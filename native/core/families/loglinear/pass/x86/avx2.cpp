// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx2.hpp"

#include "families/loglinear/pass/group_coder.hpp"

namespace bbcodec::loglinear {

Coder* make_coder_avx2(const Job& job) { return make_group_coder(job); }

}  // namespace bbcodec::loglinear

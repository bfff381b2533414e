// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx512vnni.hpp"

#include "families/loglinear/pass/group_coder.hpp"

namespace bbcodec::loglinear {

Coder* make_coder_avx512vnni(const Job& job) { return make_group_coder(job); }

}  // namespace bbcodec::loglinear

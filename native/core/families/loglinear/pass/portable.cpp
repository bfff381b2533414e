// SPDX-License-Identifier: Apache-2.0
#include "vectors/portable.hpp"

#include "families/loglinear/pass/group_coder.hpp"

namespace bbcodec::loglinear {

Coder* make_coder_portable(const Job& job) { return make_group_coder(job); }

}  // namespace bbcodec::loglinear

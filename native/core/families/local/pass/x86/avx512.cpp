// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx512.hpp"

#include "families/local/pass/group_pass.hpp"

namespace bbcodec::local {

Pass* make_pass_avx512(const PassJob& job) { return new GroupPass(job); }

}  // namespace bbcodec::local

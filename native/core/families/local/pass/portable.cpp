// SPDX-License-Identifier: Apache-2.0
#include "vectors/portable.hpp"

#include "families/local/pass/group_pass.hpp"

namespace bbcodec::local {

Pass* make_pass_portable(const PassJob& job) { return new GroupPass(job); }

}  // namespace bbcodec::local

// SPDX-License-Identifier: Apache-2.0
#include "vectors/portable.hpp"

#include "families/deep/pass/chain_pass.hpp"

namespace bbcodec::deep {

Pass* make_pass_portable(const ChainJob& job) { return new ChainPass(job); }

}  // namespace bbcodec::deep

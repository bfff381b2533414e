// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx512.hpp"

#include "families/deep/pass/chain_pass.hpp"

namespace bbcodec::deep {

Pass* make_pass_avx512(const ChainJob& job) { return new ChainPass(job); }

}  // namespace bbcodec::deep

// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx2.hpp"

#include "engine/kernels/sliced_body.hpp"

namespace bbcodec::avx2 {

void sliced(const SlicedJob& job) { Body(job).run(); }

}  // namespace bbcodec::avx2

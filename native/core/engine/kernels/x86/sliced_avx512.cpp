// SPDX-License-Identifier: Apache-2.0
#include "vectors/x86/avx512.hpp"

#include "engine/kernels/sliced_body.hpp"

namespace bbcodec::avx512 {

void sliced(const SlicedJob& job) { Body(job).run(); }

}  // namespace bbcodec::avx512

// SPDX-License-Identifier: Apache-2.0
#include "vectors/portable.hpp"

#include "engine/kernels/sliced_body.hpp"

namespace bbcodec::portable {

void sliced(const SlicedJob& job) { Body(job).run(); }

}  // namespace bbcodec::portable

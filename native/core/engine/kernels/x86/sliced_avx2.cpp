// SPDX-License-Identifier: Apache-2.0
#include "engine/sliced.hpp"

#if BBCODEC_X86

#include <immintrin.h>

#pragma GCC target("avx2")
#define BBCODEC_SLICED_BYTES 32
#define BBCODEC_SLICED_NAME sliced_avx2
#include "engine/kernels/sliced_body.hpp"

#endif  // BBCODEC_X86

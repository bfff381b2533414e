// SPDX-License-Identifier: Apache-2.0
#include "engine/sliced.hpp"

#if BBCODEC_X86

#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
#define BBCODEC_SLICED_BYTES 64
#define BBCODEC_SLICED_NAME sliced_avx512
#include "engine/kernels/sliced_body.hpp"

#endif  // BBCODEC_X86

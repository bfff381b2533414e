// SPDX-License-Identifier: Apache-2.0
// What compilers spell differently.
#pragma once

#define BBCODEC_INLINE inline __attribute__((always_inline))

// Unrolls the loop that follows; N bounds the turns.
#define BBCODEC_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define BBCODEC_UNROLL(n) BBCODEC_PRAGMA(unroll n)
#else
#define BBCODEC_UNROLL(n) BBCODEC_PRAGMA(GCC unroll n)
#endif

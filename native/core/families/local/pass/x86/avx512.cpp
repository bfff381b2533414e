// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

#include "targets.hpp"
#include "crew.hpp"
#include "families/local/model.hpp"

#if BBCODEC_X86
#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,popcnt,prefer-vector-width=512")
#define BBCODEC_LOCAL_TARGET 2
#else
#define BBCODEC_LOCAL_TARGET 0
#endif
#define BBCODEC_LOCAL_NAME make_pass_avx512
#include "families/local/pass/group_pass.hpp"

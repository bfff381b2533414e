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

#pragma GCC target("avx2")
#define BBCODEC_LOCAL_TARGET 1
#else
#define BBCODEC_LOCAL_TARGET 0
#endif
#define BBCODEC_LOCAL_NAME make_pass_avx2
#include "families/local/pass/group_pass.hpp"

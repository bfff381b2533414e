// SPDX-License-Identifier: Apache-2.0
#include "x86/cpu.hpp"

namespace bbcodec::x86 {

unsigned cpu_features() {
    unsigned found = 0;
    if (__builtin_cpu_supports("avx2")) found |= kAvx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        found |= kAvx512;
    if (__builtin_cpu_supports("avx512vnni")) found |= kVnni;
    if (__builtin_cpu_supports("avx512vpopcntdq")) found |= kPopcount;
    return found;
}

void pause() { __builtin_ia32_pause(); }

}  // namespace bbcodec::x86

// SPDX-License-Identifier: Apache-2.0
// What this x86-64 CPU offers.
#pragma once

namespace bbcodec::x86 {

// Bits of a set of features.
enum Feature : unsigned {
    kAvx2 = 1,
    kAvx512 = 2,    // F, BW, VL and DQ
    kVnni = 4,      // products of bytes and of int16, summed in 32 bits (AVX512_VNNI)
    kPopcount = 8,  // bit counts of 64-bit words (AVX512_VPOPCNTDQ)
};

unsigned cpu_features();

// Tells the CPU that the thread waits in a loop.
void pause();

}  // namespace bbcodec::x86

// SPDX-License-Identifier: Apache-2.0
// The dispatch table.
#include "engine/kernels/kernels.hpp"

namespace bbcodec {

const Kernels& kernels() {
#if BBCODEC_X86
    static const Kernels vnni = [] {
        Kernels table = kAvx512Kernels;
        if (!has_popcount()) {
            table.bit_tile = kAvx2Kernels.bit_tile;
            table.sliced_gain = 4;
        }
        return table;
    }();
    static const Kernels avx512 = [] {  // whatever else the CPU has: as on one that has no more
        Kernels table = kAvx512Kernels;
        table.bit_tile = kAvx2Kernels.bit_tile;
        table.sliced_gain = 4;
        table.int_tile = kAvx2Kernels.int_tile;
        table.byte_tile = nullptr;
        return table;
    }();
    switch (current_target()) {
        case Target::avx512vnni: return vnni;
        case Target::avx512: return avx512;
        case Target::avx2: return kAvx2Kernels;
        case Target::portable: break;
    }
#endif
    return kPortableKernels;
}

}  // namespace bbcodec

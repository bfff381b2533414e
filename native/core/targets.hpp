// SPDX-License-Identifier: Apache-2.0
// Which instruction sets this process may use.  Asked once per call of the module, never per word.
#pragma once

#include <string>
#include <vector>

// Function-level targets need GCC or Clang; elsewhere only the portable kernels are built.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define BBCODEC_X86 1
#else
#define BBCODEC_X86 0
#endif

namespace bbcodec {

// Each target includes those before it.  avx512 means F, BW, VL and DQ; avx512vnni is VNNI beside them, and VPOPCNTDQ where the
// CPU has that.
enum class Target { portable = 0, avx2 = 1, avx512 = 2, avx512vnni = 3 };

bool supported(Target target);
bool has_popcount();  // VPOPCNTDQ

// The best supported target, unless set_target() forced another one.
Target current_target();
// Throws std::invalid_argument for a name that is unknown or a target that this CPU lacks.
void set_target(const std::string& name);

std::string target_name(Target target);
std::vector<std::string> target_names();

}  // namespace bbcodec

// SPDX-License-Identifier: Apache-2.0
// The one place that chooses among instruction sets: it detects what the CPU offers, obeys a forced target, and hands
// out the kernels of the target in use. Asked once per call of the library, never per word. All targets give the same
// bits, and a forced target may change between two calls.
#pragma once

#include <string>
#include <vector>

namespace bbcodec {

struct Kernels;  // engine/kernels/kernels.hpp

namespace local {
class Pass;  // families/local/pass.hpp
struct PassJob;
using MakePass = Pass* (*)(const PassJob&);
}  // namespace local

namespace loglinear {
class Coder;  // families/loglinear/coder.hpp
struct Job;
using MakeCoder = Coder* (*)(const Job&);
}  // namespace loglinear

namespace deep {
class Pass;  // families/deep/pass.hpp
struct ChainJob;
using MakePass = Pass* (*)(const ChainJob&);
}  // namespace deep

// Kernels of the target in use.
const Kernels& kernels();
local::MakePass local_pass_maker();
loglinear::MakeCoder loglinear_coder_maker();
deep::MakePass deep_pass_maker();

// Whether a target that this CPU supports has kernels for products of bytes.
bool has_byte_kernels();

// The target in use: the best one that this CPU supports, unless set_target() forced another.
std::string target();
// Names of the targets that this CPU supports, weakest first.
std::vector<std::string> targets();
// Throws std::invalid_argument for a name that is unknown, or of a target that this CPU lacks.
void set_target(const std::string& name);

}  // namespace bbcodec

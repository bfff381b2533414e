// SPDX-License-Identifier: Apache-2.0
// The parts of a pass, in the order in which they build on each other: what docs/local.md says of one chunk of lanes.
//
// Compiled once for each instruction set, from the same text. A file includes the header of its vectors first, and then
// this one; no include guard.
#include <math.h>

#include <atomic>
#include <type_traits>

#include "crew.hpp"
#include "families/local/pass.hpp"
#include "internal.hpp"

// The order matters: these build on each other.
#include "families/local/pass/arithmetic.hpp"
#include "families/local/pass/around.hpp"
#include "families/local/pass/features.hpp"
#include "families/local/pass/fit.hpp"
#include "families/local/pass/last_layer.hpp"
#include "families/local/pass/mixture.hpp"
#include "families/local/pass/network.hpp"

#include "families/local/pass/group.hpp"
#include "families/local/pass/side.hpp"
#include "families/local/pass/symbols.hpp"

#include "families/local/pass/chunk_coder.hpp"

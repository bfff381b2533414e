// SPDX-License-Identifier: Apache-2.0
#include "engine/sliced.hpp"

#define BBCODEC_SLICED_BYTES 16
#define BBCODEC_SLICED_NAME sliced_portable
#include "engine/kernels/sliced_body.hpp"

// SPDX-License-Identifier: Apache-2.0
#include "sliced.hpp"

#define BBCODEC_SLICED_BYTES 16
#define BBCODEC_SLICED_NAME sliced_portable
#include "sliced_body.hpp"

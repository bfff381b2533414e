// SPDX-License-Identifier: Apache-2.0
// The extension module bbcodec._native.
#include <nanobind/nanobind.h>

#include "bindings.hpp"

namespace bbcodec {
void bind_engine(Module& m);
}
void bind_deep(bbcodec::Module& m);
void bind_latent(bbcodec::Module& m);
void bind_local(bbcodec::Module& m);
void bind_loglinear(bbcodec::Module& m);
void bind_rans(bbcodec::Module& m);

NB_MODULE(_native, m) {
    m.doc() = "Exact integer kernels of bbcodec; use them through bbcodec.engine and bbcodec.coding.ans.";
    bbcodec::Module module(m);
    bbcodec::bind_engine(module);
    bind_deep(module);
    bind_latent(module);
    bind_local(module);
    bind_loglinear(module);
    bind_rans(module);
}

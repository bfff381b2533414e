// SPDX-License-Identifier: Apache-2.0
// The extension module bbcodec._native.
#include <nanobind/nanobind.h>

namespace bbcodec {
void bind_engine(nanobind::module_& m);
}
void bind_latent(nanobind::module_& m);
void bind_local(nanobind::module_& m);
void bind_rans(nanobind::module_& m);

NB_MODULE(_native, m) {
    m.doc() = "Exact integer kernels of bbcodec; use them through bbcodec.engine and bbcodec.coding.ans.";
    bbcodec::bind_engine(m);
    bind_latent(m);
    bind_local(m);
    bind_rans(m);
}

# SPDX-License-Identifier: Apache-2.0
"""Adapters for other libraries, one module each. The core imports none of them.

- `pillow`: plugin for ``.bb`` files; needs no extra
- `numcodecs`, `zarr`: codecs, found by entry points
- `torch`: dataset over an archive
- `files`: functions for any process pool; `dask` runs them on a cluster
"""

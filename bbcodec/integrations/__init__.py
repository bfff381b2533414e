# SPDX-License-Identifier: Apache-2.0
"""Where other libraries meet bbcodec: one module for each, imported by who uses that library.

`pillow` needs nothing more; `numcodecs` and `zarr` are found through entry points; `torch` reads archives.
The core imports none of them.
"""

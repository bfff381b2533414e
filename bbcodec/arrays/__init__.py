# SPDX-License-Identifier: Apache-2.0
"""Code chunks of arrays in a format of their own, which the adapters for numcodecs and Zarr use.

`chunks` codes one chunk of an array. `stacks` codes pictures of equal shape in one message or one file.
"""

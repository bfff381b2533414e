# SPDX-License-Identifier: Apache-2.0
"""Arrays in pieces: a format of its own, used by the adapters for numcodecs and Zarr.

`chunks` codes one chunk of an array, `stacks` codes many equal small pictures in one message.
"""

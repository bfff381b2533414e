# SPDX-License-Identifier: Apache-2.0
"""One picture in one ``.bb`` file: which coder it gets, what its sections hold, how to report and save it."""

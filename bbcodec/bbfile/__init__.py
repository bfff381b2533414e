# SPDX-License-Identifier: Apache-2.0
"""One picture in one ``.bb`` file: choose its coder, write and read its sections, describe and salvage it."""

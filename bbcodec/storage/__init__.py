# SPDX-License-Identifier: Apache-2.0
"""Read and write files, by path or by URL.

`storage` has one class for both. `remote` opens URLs with fsspec. `atomic` writes a file whole or not at all.
"""

from __future__ import annotations

from bbcodec.storage.storage import Storage, base, folder_of, identity, is_url, join, local_path

__all__ = ["Storage", "base", "folder_of", "identity", "is_url", "join", "local_path"]

# SPDX-License-Identifier: Apache-2.0
"""Read and write files, by path or by URL.

`storage` has one class for both. `remote` opens URLs with fsspec. `atomic` writes a file whole or not at all,
and has the rules of every output. `original` deletes a source. `display` hides the secrets of URLs in texts.
"""

from __future__ import annotations

from bbcodec.storage.atomic import PLAIN, Attributes
from bbcodec.storage.display import redacted
from bbcodec.storage.storage import Storage, base, folder_of, identity, is_url, join, local_path

__all__ = [
    "PLAIN",
    "Attributes",
    "Storage",
    "base",
    "folder_of",
    "identity",
    "is_url",
    "join",
    "local_path",
    "redacted",
]

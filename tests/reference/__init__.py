# SPDX-License-Identifier: Apache-2.0
"""A second decoder of `.bb` files and archives: the executable form of docs/format.md and docs/local.md.

Written from these two documents alone, in plain NumPy, and with nothing of the package, so that the documents
are known to be enough. Pillow decodes VP8L streams. It is slow, checks what the documents demand of readers
where that is cheap, and knows no limits of memory: it is made for golden files, not for files of strangers.

| module | part of the format |
|---|---|
| `wire` | numbers, sections, deflate, LZMA2, errors |
| `container` | header, sections, metadata, digest: a whole picture |
| `classic`, `palette` | `CLSC`, `PLTE` |
| `archive` | archives |
| `modelfile`, `graph` | model files, and the operations of their functions |
| `rans`, `logistic` | messages, distributions |
| `causal`, `tiles`, `flow` | the families of chains of tiles |
| `local`, `local_fit`, `local_net` | the family `local` |
"""

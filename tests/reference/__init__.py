# SPDX-License-Identifier: Apache-2.0
"""A second decoder of `.bb` files, archives and array files: the documents of the format as a program.

It was written only from format.md, local.md, loglinear.md, deep.md and arrays.md, in plain NumPy, and uses
nothing of the package. So it proves that they are sufficient. Pillow decodes VP8L streams. It is slow and
has no memory limits, and it makes only the cheap checks that the documents require. It is for golden files,
not for untrusted files.

| module | part of the format |
|---|---|
| `wire` | numbers, sections, Deflate, LZMA2, errors |
| `container` | header, sections, metadata, digest: a whole picture |
| `classic`, `palette` | `CLSC`, `PLTE` |
| `archive` | archives |
| `batches` | batches, chunks |
| `arrays` | array files |
| `recovery` | recovery data of files and archives |
| `modelfile`, `graph` | model files, and the operations of their functions |
| `rans`, `logistic` | messages, distributions |
| `causal`, `tiles`, `flow` | the families of chains of tiles |
| `local`, `local_fit`, `local_net` | the family `local` |
| `deep`, `deep_head`, `deep_plane`, `deep_window` | the family `deep`, on top of `local` |
| `loglinear`, `loglinear_pixels`, `loglinear_tables` | the family `loglinear`, on top of `local` |
"""

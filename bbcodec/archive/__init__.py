# SPDX-License-Identifier: Apache-2.0
"""Archives: many pictures in one file. Small pictures share a message in batches; each can be read alone.

- `archive`: the mapping that users see
- `reader`, `writer`: read and append pictures
- `models`: the models of an archive, also of a damaged one
- `mend`, `salvage`: repair lost sectors; rebuild a damaged index
- `check`: describe and verify an archive
- `plan`: which pictures share a batch, and how it is coded
- `output`: where the bytes are written, so that an interruption loses nothing
- `tables`, `copies`, `sections`: the format: payloads, and the frame around them
"""

from bbcodec.archive.archive import Archive

__all__ = ["Archive"]

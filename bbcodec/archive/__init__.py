# SPDX-License-Identifier: Apache-2.0
"""Archives: many pictures in one file. Small pictures share a message in batches; each can be read alone.

- `archive`: the mapping that users see
- `reader`, `writer`: read and append pictures
- `salvage`, `check`: rebuild a damaged index; describe and verify an archive
- `plan`: which pictures share a batch, and how it is coded
- `output`: where the bytes are written, so that an interruption loses nothing
- `tables`, `sections`: the format: payloads, and the frame around them
"""

from bbcodec.archive.archive import Archive

__all__ = ["Archive"]

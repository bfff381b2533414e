# SPDX-License-Identifier: Apache-2.0
"""Archives: many pictures in one file, small ones in batches that share a message, any one read alone.

- `archive`: the mapping that users see
- `reader`, `writer`: pictures out, pictures in
- `plan`: which pictures share a batch, and how it is coded
- `output`: where the bytes go, so that an interruption loses nothing
- `tables`, `sections`: the format, payloads and the frame around them
"""

from bbcodec.archive.archive import Archive

__all__ = ["Archive"]

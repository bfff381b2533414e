# SPDX-License-Identifier: Apache-2.0
"""Names and texts as they may be shown: without the passwords, tokens and signatures of URLs.

Everything that is printed or raised with a URL in it goes through `redacted`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

__all__ = ["HIDDEN", "redacted", "shows_secret", "without"]

HIDDEN: Final = "***"
"""What stands in the place of a secret."""

_SECRET_WORDS: Final = (
    r"(?:sig|signature|token|secret|passw|passphrase|pwd|credential|key|auth|session|policy|jwt|code)"
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
# A password goes to the last @: it may hold slashes, although it should not. Digits are the number of a port.
# A lone user of a web address may be a token.
_USER: Final = re.compile(r"(://[^\s/?#:@]*:)(?!\d*(?:[/?#]|$))\S*(?=@)")
_LONE_USER: Final = re.compile(r"(\bhttps?://)[^\s/?#:@]+(?=@)", re.IGNORECASE)
# The colon at the end is that of a message.
_PARAMETER: Final = re.compile(
    rf"([?&;#][^=&;#?\s]*{_SECRET_WORDS}[^=&;#?\s]*=)(?:(?!:?$)[^&;#\s'\"<>])*", re.IGNORECASE
)
_SECRET_OPTION: Final = re.compile(_SECRET_WORDS, re.IGNORECASE)
_SHORTEST_SECRET: Final = 4
"""Characters. Shorter values are words of many texts."""


def redacted(text: str) -> str:
    """Return a text in which no URL shows a password, token or signature.

    >>> redacted("https://ann:pass@host/a.png?size=1&X-Amz-Signature=0f: not found")
    'https://ann:***@host/a.png?size=1&X-Amz-Signature=***: not found'
    """
    return text if "://" not in text else _URL.sub(lambda found: _of_url(found.group()), text)


def _of_url(url: str) -> str:
    url = _USER.sub(rf"\1{HIDDEN}", url)
    url = _LONE_USER.sub(rf"\1{HIDDEN}", url)
    return _PARAMETER.sub(rf"\1{HIDDEN}", url)


def without(text: str, url: str, options: Mapping[str, Any]) -> str:
    """Return a text without the secrets of a URL and of fsspec's options, wherever they stand in it."""
    for secret in sorted({*_secrets(url), *_values(options)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return redacted(text)


def _secrets(url: str) -> Iterator[str]:
    """Yield the secrets of a URL, as they stand in it and decoded."""
    for pattern in (_USER, _LONE_USER, _PARAMETER):
        for found in pattern.finditer(url):
            value = found.group()[len(found.group(1)) :]
            yield from (text for text in (value, unquote(value), unquote_plus(value)) if _is_long(text))


def _values(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of options that are secrets by their names."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _values(value)
        elif isinstance(value, str) and _is_long(value) and _SECRET_OPTION.search(str(name)):
            yield value


def _is_long(text: str) -> bool:
    return len(text) >= _SHORTEST_SECRET and text != HIDDEN


def shows_secret(error: BaseException) -> bool:
    """Return whether an error or one of those that led to it shows a secret, so that it must not be shown."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        texts = [str(found), *map(str, found.args), str(getattr(found, "filename", ""))]
        if any(redacted(text) != text for text in texts):
            return True
        found = found.__cause__ or found.__context__
    return False

"""Text of files and names as terminals can show it."""

from __future__ import annotations

import re

#: Control characters, line and paragraph separators, marks that reorder what follows them, and lone surrogates.
_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: Python holds a byte of a name that is not UTF-8 as the lone surrogate of this number plus the byte's.
_ESCAPED_BYTE = 0xDC00


def visible(text: str) -> str:
    """Text of files and names as it can be shown: what would steer a terminal is written as an escape.

    So are bytes of names that are not UTF-8, and other halves of characters.
    """
    return _UNSHOWN.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    byte = ord(character) - _ESCAPED_BYTE
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()

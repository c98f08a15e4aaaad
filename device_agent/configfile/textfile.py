"""Text files as editors save them: a byte order mark is no mistake, another encoding than UTF-8 is one that has a name.

UTF-8 with a byte order mark is what older Windows editors and PowerShell's `>` write; a mark of UTF-16 or UTF-32 tells it (Unicode
Standard, section 23.8), and so do the zero bytes of ASCII text in them.
"""

from __future__ import annotations

import codecs
from typing import Final

from device_agent.errors import ConfigError

#: Longer marks first: that of UTF-32 begins like that of UTF-16.
_OTHERS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_SAVE: Final = 'save it as UTF-8 (Notepad: "Save as", Encoding "UTF-8"; PowerShell: `Set-Content -Encoding utf8`)'


def decode(data: bytes, name: str) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        ConfigError: it is not UTF-8; what it seems to be, and what to do.
    """
    for mark, encoding in _OTHERS:
        if data.startswith(mark):
            raise ConfigError(f"{name}: is {encoding} text; {_SAVE}")
    if b"\0" in data[:4]:
        raise ConfigError(f"{name}: is not UTF-8 text, and looks like UTF-16 or UTF-32; {_SAVE}")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: is not UTF-8 text; save the file as UTF-8") from None

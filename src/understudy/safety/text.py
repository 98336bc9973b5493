"""Text hygiene: what every other room may rely on for text that came from outside.

Owns characters that no reader can see or no database can store. Does not own what the text says
(`moderation`) nor its length (`[limits]`).
"""

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # C0 and C1 controls but tab and line ends
    "\u202a-\u202e\u2066-\u2069"  # they reorder whatever is shown after them
    "\ufeff\ufff9-\ufffb]"
)
# Tag characters spell invisible text; they are at home only in flags, behind a black flag.
_TAGS = re.compile("(\U0001f3f4[\U000e0030-\U000e007a]{1,6}\U000e007f)|[\U000e0000-\U000e007f]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` in NFC without control characters, bidirectional overrides and invisible tags.

    Line ends of every kind become a newline, tabs stay. Surrogate pairs become the character
    they spell, lone surrogates U+FFFD. Cleaning twice changes nothing more.
    """
    if text.isascii() and text.isprintable():
        return text
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if not text.isprintable():
        text = _LINE_ENDS.sub("\n", text)
        text = _UNWANTED.sub("", text)
        text = _TAGS.sub(r"\1", text)
    return unicodedata.normalize("NFC", text)

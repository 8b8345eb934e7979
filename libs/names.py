"""Names as people type them: which spellings are the same name."""

import unicodedata
from functools import lru_cache


# Cached, for there are few names and every scan needs one.
@lru_cache(maxsize=4096)
def comparable(name: str) -> str:
    """The normal form of a name, to compare by: NFC, single blanks between words.

    Letter case stays. Idempotent. Display names as they were written, not in this form.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())

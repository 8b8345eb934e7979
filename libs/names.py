"""Names as people type them: which spellings are one name."""

import unicodedata
from functools import lru_cache


# There are few names, and every scan asks.
@lru_cache(maxsize=4096)
def comparable(name: str) -> str:
    """What two spellings of one name have in common: NFC, and no blank more than between words.

    Letter case stays. Stable: what is comparable stays as it is. Only to compare by: people are
    shown a name as it was written.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())

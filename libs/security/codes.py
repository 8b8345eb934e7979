"""One-time codes: six digits that a person copies, kept only as a keyed hash.

A million codes are tried in no time, so the hash alone protects nothing: the key does. The caller
of `matches` must limit the attempts.
"""

import hashlib
import hmac
import secrets
from typing import Final

DIGITS: Final = 6
MIN_KEY_BYTES: Final = 32
# One key may serve several purposes: the prefix keeps their results apart.
PURPOSE: Final = b"tillstream one-time code 1\0"


def generate() -> str:
    """Six random digits, with leading zeros. Show it to its owner only."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def hash_code(key: bytes, challenge: str, code: str) -> str:
    """The keyed hash of a code, 64 hexadecimal digits, valid for one `challenge` (an id) only.

    Raises `ValueError` for a key of less than 32 bytes.
    """
    if len(key) < MIN_KEY_BYTES:
        raise ValueError("a key of codes has at least 32 bytes")
    subject = challenge.encode("utf-8", "surrogatepass")
    message = len(subject).to_bytes(4) + subject + code.encode("utf-8", "surrogatepass")
    return hmac.new(key, PURPOSE + message, hashlib.sha256).hexdigest()


def matches(key: bytes, challenge: str, code: str, hashed: str) -> bool:
    """Whether `code` is the one behind `hashed`, in a time that does not depend on the answer."""
    computed = hash_code(key, challenge, code)
    return hmac.compare_digest(computed.encode(), hashed.encode("utf-8", "surrogatepass"))

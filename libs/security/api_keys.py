"""API keys: generated here, stored only as hashes, identified by their prefix."""

import hashlib
import re
import secrets
import string

OURS = re.compile(r"ts_[0-9A-Za-z]{8}_[0-9A-Za-z_-]{43}")
FOREIGN_PREFIX_LENGTH = 8
ALPHABET = string.ascii_letters + string.digits


def generate() -> str:
    """A new key `ts_<8 characters>_<43 characters>`: 256 bits of secret. Show it once."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(8))
    return f"ts_{prefix}_{secrets.token_urlsafe(32)}"


def prefix(key: str) -> str:
    """The part of a key that may be stored, listed and logged.

    Of our own keys `ts_xxxxxxxx`. Of keys made elsewhere, such as the 32 characters of older
    clients, the first 8 characters, never more than a quarter, so that the rest stays secret.
    """
    if OURS.fullmatch(key):
        return key[:11]
    return key[: min(FOREIGN_PREFIX_LENGTH, len(key) // 4)]


def hash_key(key: str) -> str:
    """SHA-256 as 64 hexadecimal digits.

    A plain fast hash is right here, unlike for passwords: a key is random and too long to guess,
    and it is checked on every request. No salt either, so that the hash can be looked up.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

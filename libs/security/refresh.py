"""Refresh tokens: opaque, unforgeable, and computed again instead of stored.

base64url of session (16 bytes), generation (4 bytes) and HMAC-SHA256 over both (32 bytes). The
same generation of a session is always the same token, so a repeated refresh is answered with the
same successor although it is not stored.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from uuid import UUID

from libs.security.tokens import TokenInvalid

MIN_KEY_BYTES: Final = 32
SESSION_BYTES: Final = 16
GENERATION_BYTES: Final = 4
SIGNED_BYTES: Final = SESSION_BYTES + GENERATION_BYTES
SHAPE: Final = re.compile(r"[0-9A-Za-z_-]{70}")
# One key may serve several purposes: the prefix keeps their results apart.
PURPOSE: Final = b"tillstream refresh token 1\0"


def issue(key: bytes, session_id: UUID, generation: int) -> str:
    """The token of a generation, counted from 1 at login.

    Raises `ValueError` for a key of less than 32 bytes, `OverflowError` beyond four bytes of
    generations.
    """
    if len(key) < MIN_KEY_BYTES:
        raise ValueError("a key of refresh tokens has at least 32 bytes")
    payload = session_id.bytes + generation.to_bytes(GENERATION_BYTES)
    signature = hmac.new(key, PURPOSE + payload, hashlib.sha256).digest()
    return urlsafe_b64encode(payload + signature).rstrip(b"=").decode()


def read(key: bytes, token: str) -> tuple[UUID, int]:
    """Session and generation of a token that we issued. Raises `TokenInvalid` for any other text.

    The caller must check that the generation is the current one and that the session is live.
    """
    if not SHAPE.fullmatch(token):
        raise TokenInvalid("not a refresh token")
    raw = urlsafe_b64decode(token + "==")
    session_id = UUID(bytes=raw[:SESSION_BYTES])
    generation = int.from_bytes(raw[SESSION_BYTES:SIGNED_BYTES])
    # Compared as text: base64 has several spellings of the same bytes, and only one is ours.
    if not hmac.compare_digest(issue(key, session_id, generation), token):
        raise TokenInvalid("not a refresh token of ours")
    return session_id, generation

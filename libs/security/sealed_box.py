"""Sealing for one reader: whoever has the public key can seal, only its owner can open.

X25519 with a fresh key for every box, HKDF-SHA256, ChaCha20-Poly1305. Neither who sealed it nor
anything that was logged or stored on the way can open it again.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from libs.security.sealing import SealBroken

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
PURPOSE: Final = b"tillstream sealed box 1"
# Every box has a key of its own, so one nonce does for all of them.
NONCE: Final = bytes(12)


def generate_private() -> bytes:
    """A new random private key, 32 bytes."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """The public half, 32 bytes. Raises `ValueError`, without a word of the key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_to(public: bytes, text: str, context: str) -> bytes:
    """`text`, readable to the owner of `public` only. `context` says what it belongs to.

    Raises `ValueError` for what is no public key, such as a point of small order.
    """
    ours = X25519PrivateKey.generate()
    shown = ours.public_key().public_bytes_raw()
    shared = ours.exchange(X25519PublicKey.from_public_bytes(public))
    return shown + _cipher(shared, shown, public).encrypt(
        NONCE, text.encode("utf-8", "surrogatepass"), context.encode("utf-8", "surrogatepass")
    )


def open_sealed(private: bytes, sealed: bytes, context: str) -> str:
    """What was sealed. Raises `SealBroken`, also if it was sealed for another context."""
    if len(sealed) < KEY_BYTES + TAG_BYTES:
        raise SealBroken("too short for a sealed box")
    shown = sealed[:KEY_BYTES]
    key = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(shown))
        cipher = _cipher(shared, shown, key.public_key().public_bytes_raw())
        said = cipher.decrypt(NONCE, sealed[KEY_BYTES:], context.encode("utf-8", "surrogatepass"))
    except (InvalidTag, ValueError):
        raise SealBroken("not sealed to us, or for something else") from None
    return said.decode("utf-8", "surrogatepass")


def _cipher(shared: bytes, shown: bytes, public: bytes) -> ChaCha20Poly1305:
    """Bound to both public keys: the same secret between others is another key."""
    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=shown + public, info=PURPOSE)
    return ChaCha20Poly1305(derive.derive(shared))

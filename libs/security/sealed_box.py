"""Sealing for one reader: the public key seals, only the private key opens.

X25519 with an ephemeral key for every box, HKDF-SHA256, ChaCha20-Poly1305. The sender cannot open
the box again, and neither can anybody with what was logged or stored on the way.
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
# Every box has a key of its own, so they can share one nonce.
NONCE: Final = bytes(12)


def generate_private() -> bytes:
    """A new random private key, 32 bytes."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """The public half, 32 bytes. Raises `ValueError`, without a word of the key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_to(public: bytes, text: str, context: str) -> bytes:
    """Seal `text` for the owner of `public`. It opens only with the same `context`.

    Raises `ValueError` if `public` is no public key, such as a point of small order.
    """
    private = X25519PrivateKey.generate()
    ephemeral = private.public_key().public_bytes_raw()
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return ephemeral + _cipher(shared, ephemeral, public).encrypt(
        NONCE, text.encode("utf-8", "surrogatepass"), context.encode("utf-8", "surrogatepass")
    )


def open_sealed(private: bytes, sealed: bytes, context: str) -> str:
    """The sealed text. Raises `SealBroken`, also if it was sealed for another context."""
    if len(sealed) < KEY_BYTES + TAG_BYTES:
        raise SealBroken("too short for a sealed box")
    ephemeral = sealed[:KEY_BYTES]
    key = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(ephemeral))
        cipher = _cipher(shared, ephemeral, key.public_key().public_bytes_raw())
        text = cipher.decrypt(NONCE, sealed[KEY_BYTES:], context.encode("utf-8", "surrogatepass"))
    except (InvalidTag, ValueError):
        raise SealBroken("not sealed to us, or for something else") from None
    return text.decode("utf-8", "surrogatepass")


def _cipher(shared: bytes, ephemeral: bytes, public: bytes) -> ChaCha20Poly1305:
    """The cipher of a box; its key depends on both public keys."""
    derive = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=ephemeral + public, info=PURPOSE)
    return ChaCha20Poly1305(derive.derive(shared))

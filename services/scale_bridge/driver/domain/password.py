"""The password of a scale (R12): four ASCII characters, never returned and never logged."""

from typing import Final

LENGTH: Final = 4


class BadPassword(ValueError):
    """The password is not valid. The message is for people and does not repeat it."""


def checked(password: str) -> str:
    """The password, unchanged. Raises BadPassword.

    The protocol has four bytes for it: any other length would shift the bytes after it.
    """
    if not password.isascii():
        raise BadPassword("a scale's password consists of ASCII characters")
    if len(password) != LENGTH:
        raise BadPassword(f"a scale's password has exactly {LENGTH} characters")
    return password

"""A scale's password (R12): four ASCII characters, neither returned nor logged."""

from typing import Final

LENGTH: Final = 4


class BadPassword(ValueError):
    """No scale can have this password; the message is for people and does not repeat it."""


def checked(password: str) -> str:
    """The password as it was given. Raises BadPassword.

    The protocol has room for exactly four bytes: any other length would shift what follows.
    """
    if not password.isascii():
        raise BadPassword("a scale's password consists of ASCII characters")
    if len(password) != LENGTH:
        raise BadPassword(f"a scale's password has exactly {LENGTH} characters")
    return password

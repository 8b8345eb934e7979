"""Databases as other logins see them."""

from urllib.parse import urlsplit


def as_login(database: str, login: str) -> str:
    """The same database for another login; its password is x."""
    parts = urlsplit(database)
    return parts._replace(netloc=f"{login}:x@{parts.netloc.rpartition('@')[2]}").geturl()

"""Errors as texts for logs and for tables of what failed, without values of rows."""

from typing import Final

import asyncpg

_DATA_EXCEPTION: Final = "22"
_QUOTING: Final = ('"', "query argument")
"""What messages contain that quote a value: those of the server, and those of its client."""


def error_text(error: BaseException) -> str:
    """The error's class and message.

    Of Postgres's errors the details are left out, which quote whole rows, and messages that quote a
    value: rows may hold personal data.
    """
    return f"{type(error).__name__}: {_message(error)}"


def _message(error: BaseException) -> str:
    if not isinstance(error, asyncpg.PostgresError):
        return str(error)
    message = str(error.args[0]) if error.args else ""
    is_of_data = (error.sqlstate or "").startswith(_DATA_EXCEPTION)
    if is_of_data and any(sign in message for sign in _QUOTING):
        return "a value does not fit"
    return message

"""The read models that a route's answer waits for."""

from typing import Final

from libs.http.visible import visible

ACCOUNTS: Final = visible("account", "session")
"""For routes that change accounts, which may also end sessions."""
SESSIONS: Final = visible("session", when_refused=False)
"""For routes that open, refresh or end sessions. A refusal does not wait: its time must not reveal
whether it was recorded, and so whether the account exists."""
NEWCOMERS: Final = visible("account", "session", when_refused=False)
"""For routes that open an account or a session for a new person or device."""
API_KEYS: Final = visible("api_key")

"""Commands of logins and sessions."""

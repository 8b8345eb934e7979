"""Accounts opened, changed and closed by their owners and by administrators."""

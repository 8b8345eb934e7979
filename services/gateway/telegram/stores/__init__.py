"""Codes in use, and Telegram accounts linked to phones."""

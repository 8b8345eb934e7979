"""One-time codes over Telegram, and Mini Apps."""

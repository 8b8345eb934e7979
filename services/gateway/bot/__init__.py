"""The Telegram bot: messages, buttons, the webhook."""

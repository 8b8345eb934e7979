"""Registration and logins of the scales' clients."""

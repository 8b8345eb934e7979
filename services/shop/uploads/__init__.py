"""Images that staff upload, and their delivery to everybody who was given their address."""

"""Images that staff upload, and their delivery by unguessable addresses."""

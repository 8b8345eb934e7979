"""Files that people upload: checked, re-encoded, stored by URL, and served so that none can run."""

"""Commands of shops and their staff."""

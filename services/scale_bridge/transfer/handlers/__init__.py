"""An operation carried out, step by step."""

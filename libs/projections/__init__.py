"""Read models that follow their own service's log."""

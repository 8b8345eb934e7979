"""Operations on a scale: queued, executed, retried, ended."""

"""Operations on a scale: ordered, carried out, retried, ended."""

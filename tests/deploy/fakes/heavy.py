"""A module that takes as much memory as those of a service do."""

MEBIBYTES = 64
BALLAST = [bytearray(b"x" * (1 << 20)) for _ in range(MEBIBYTES)]

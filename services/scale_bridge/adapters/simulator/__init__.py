"""A label scale on a TCP port, byte-exact, with every fault anybody has seen or feared (§6)."""

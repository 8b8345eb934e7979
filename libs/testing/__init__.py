"""The kit that tests of every library and service use: waiting, clocks, callers, read models."""

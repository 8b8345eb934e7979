"""The queue, the progress of transfers, and the last read-back of each scale."""

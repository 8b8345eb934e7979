"""What the florists make of paid orders: tasks, their queue, and the check of their quality."""

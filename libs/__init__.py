"""Libraries without any business noun: the same in a bakery and a bank."""

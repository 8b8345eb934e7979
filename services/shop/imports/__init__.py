"""The data of the shop system that was there before."""

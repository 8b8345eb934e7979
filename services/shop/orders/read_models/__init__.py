"""Which orders are there, and what happened to them?"""

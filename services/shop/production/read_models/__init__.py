"""Which tasks are there, and who is at work on them?"""

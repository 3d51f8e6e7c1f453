"""Comparing runs: which is best, how sure that is, and what differs."""

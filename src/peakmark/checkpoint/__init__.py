"""A run's state as data on disk."""

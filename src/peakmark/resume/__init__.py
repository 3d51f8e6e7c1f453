"""Capturing a run's state and putting it back."""

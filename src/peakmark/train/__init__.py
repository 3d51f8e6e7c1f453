"""Running the fold."""

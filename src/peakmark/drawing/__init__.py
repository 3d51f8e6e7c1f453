"""Boxes and words onto pixels: pure functions of arrays."""

"""Boxes, overlaps, grids: pure functions of numbers."""

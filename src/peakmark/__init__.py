"""Peakmark trains YOLOv8 object detectors."""

"""The YOLOv8 detector."""

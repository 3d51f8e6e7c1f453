"""What can one do with a detector from Python? `YOLO`, what its methods give back, and what it refuses by name.

Knows what the facade knows. Begin with yolo.py.
"""

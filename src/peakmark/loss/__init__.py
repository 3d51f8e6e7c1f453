"""What does a training minimise?

Knows geometry, nouns and settings. Begin with detection.py; assignment.py says which anchor answers for which truth.
"""

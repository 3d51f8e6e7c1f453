"""What does a training minimise?

Knows geometry and nouns. Begin with detection.py; assignment.py says which anchor answers for which truth.
"""

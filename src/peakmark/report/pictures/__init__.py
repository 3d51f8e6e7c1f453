"""Which pictures does a run leave? Curves, confusion matrix, labels, batches.

Knows drawing and nouns. Begin with painter.py.
"""

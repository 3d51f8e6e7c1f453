"""Which pictures does a run leave, and a comparison of runs? Curves, confusion matrix, labels, batches.

Knows drawing and nouns. Begin with painter.py.
"""

"""How good are detections, and how sure is that?

Knows geometry, formulas and nouns. Begin with validator.py; matching.py and metrics.py make the numbers.
"""

"""How is a picture looked at that is much larger than what a detector sees? In tiles, joined without a seam.

Knows what deploy knows. Begin with looking.py.
"""

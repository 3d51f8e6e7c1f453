"""Did a resumed run go on soundly, and if not, why? Held against the trend before it.

Knows nouns, state and the seam. Begin with continuity.py.
"""

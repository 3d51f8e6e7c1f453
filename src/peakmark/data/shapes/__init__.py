"""What is the sample set `data=shapes`? Drawn by code, so that a first training needs no download.

Knows geometry and random streams. Begin with shapes.py.
"""

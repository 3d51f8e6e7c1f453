"""Which images and labels are there? From a data.yaml to an index that is checked line by line.

Knows settings and files. Begin with dataset.py (the data.yaml), split.py and index.py (what it comes to).
"""

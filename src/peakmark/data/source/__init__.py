"""Which images and labels are there? Files are listed, looked at and remembered, and labels read line by line.

Knows settings and files. Begin with survey.py (what is looked at) and indexed_split.py (what it comes to).
"""

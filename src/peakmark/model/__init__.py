"""What is the YOLOv8 network, and how do weights of other files get into it?

Knows geometry, nouns, settings and files. Begin with detector.py.
"""

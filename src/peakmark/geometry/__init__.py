"""Where is a box, how far do two overlap, where does it lie after a letterbox? Pure functions of numbers.

Knows no other room. Begin with boxes.py; iou.py and letterbox.py are what most others use.
"""

"""How do weights that another YOLOv8 program trained become ours, where both compute the same?

Knows the network of the room above, and files. Begin with reading.py.
"""

"""What does `import peakmark` offer? Composes what the rooms below do, and computes nothing.

Knows every room but the command line. Begin with model/yolo.py.
"""

"""How do boxes and words get onto pixels? Pure functions of arrays.

Knows `shown` alone. Begin with boxes.py.
"""

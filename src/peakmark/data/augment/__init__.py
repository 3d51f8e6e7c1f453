"""What is made of an image for a training? A plan drawn from seed and position, and two ways to carry it out.

Knows settings, geometry and random streams. Begin with plan.py.
"""

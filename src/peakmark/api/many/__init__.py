"""What is done with many trainings at once? Searches of settings, and repetitions with other seeds and other folds.

Knows the rest of the facade. Begin with group.py.
"""

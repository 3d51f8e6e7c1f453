"""Can this machine be trusted with a week of training? Looked at, tried out, and proven by short trainings.

Knows how runs are put together, and starts some through the command line. Begin with looking.py, the order of it all.
"""

"""What happens when a run ends? Its best is validated again, averages are tried, and it is said how sure that is.

Knows the rest of run. Begin with end.py.
"""

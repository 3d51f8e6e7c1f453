"""Which of these runs is best, how sure is that, and what differs between them?

Knows record and evaluate. Begin with comparing.py.
"""

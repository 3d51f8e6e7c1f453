"""Which words does a user type?

Knows the api. Begin with main.py.
"""

"""What stands on the terminal while something happens, and when it ends?

Knows events and nouns. Begin with console.py.
"""

"""What does the user wish? Every setting with its type, range, default and help, and how words become one.

Knows formulas and nouns. Begin with fields.py; parse.py makes settings of what was typed.
"""

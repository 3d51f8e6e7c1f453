"""Which epoch is best, when does a run stop, what is kept? Facts in, decisions out.

Knows nouns and settings. Begin with decide.py.
"""

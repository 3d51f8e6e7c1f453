"""What lies in a run's folder for people to read, and where?

Knows nouns, settings and files. Begin with folder.py.
"""

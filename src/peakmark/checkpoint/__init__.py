"""How does a run's state lie on the disk? As data, with digests, in files that are written whole.

Knows nouns and files. Begin with format.py (what is in it), reader.py and writer.py.
"""

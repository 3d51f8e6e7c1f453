"""How do data sets come here from the web? Only with consent, bounded, and unpacked so that nothing leaves its folder.

Knows addresses, and the cache that the data come to. Begin with known_sets.py (which names are known), then fetched.py.
"""

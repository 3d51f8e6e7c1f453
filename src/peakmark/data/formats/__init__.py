"""How do annotations come in from other formats and go out to them? Each format is one file; registry.py lists them.

Knows images, label files and the audit's groups. Begin with annotated_set.py (what lies between reading and writing),
then convert.py (the way from one to the other).
"""

"""Which few types cross from one room to another? Data without behaviour, by subject.

Knows geometry alone, and loads no torch. Begin with run.py.
"""

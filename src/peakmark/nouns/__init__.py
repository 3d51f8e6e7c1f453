"""Which few types cross from one room to another? Data without behaviour, by subject.

Knows geometry, errors and why a run is asked to stop, and loads no torch. Begin with run.py.
"""

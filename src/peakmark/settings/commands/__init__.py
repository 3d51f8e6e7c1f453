"""Which settings do the commands have that don't train? A file for each kind of command.

Knows what the settings know, but not the settings of a training. Begin with use.py.
"""

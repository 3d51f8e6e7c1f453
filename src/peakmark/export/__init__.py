"""How does a trained network leave as a file of another program, and come back as a model that is proven equal?

Knows model and validation, and in `formats` a file for each format: the only places that know other runtimes. Must not
know commands. Begin with exporting.py.
"""

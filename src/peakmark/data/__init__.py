"""How does a data.yaml become batches?

Knows settings. Begin with loader.py, which draws on source/ (what there is) and augment/ (what is made of it).
"""

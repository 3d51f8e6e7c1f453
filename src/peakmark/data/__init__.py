"""How does a data.yaml become batches?

Knows settings. Begin with dataset.py (the data.yaml), index.py (a split, looked at and numbered) and loader.py; below
them source/ is what there is, augment/ what is made of it.
"""

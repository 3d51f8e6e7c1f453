"""Which settings are best, and is that more than luck? A study's space, its storage, its trials, and the verdict.

Knows evaluate, record, settings and files; how a run is trained is handed in. Begin with study.py.
"""

"""What does a run's future depend on? Captured into a checkpoint and put back, bit for bit.

Knows nouns, settings, model and checkpoint. Begin with state.py.
"""

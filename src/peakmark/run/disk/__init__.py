"""What of a run goes to disk, when, and under which names?

Knows record, checkpoint and selection. Begin with checkpointer.py.
"""

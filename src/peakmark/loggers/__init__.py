"""How do a run's numbers get to where a team keeps its runs? Each logger in a process of its own, fed from the journal.

Knows record, events, files and settings; nothing of training, so that none of it can slow or change a run. Begin with
logger.py, then watch.py, which a training has beside it, and sender.py, which does the work.
"""

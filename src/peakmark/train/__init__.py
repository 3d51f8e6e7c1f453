"""How does a run go? The fold alone: from any position on, and stoppable at any update.

Knows state, settings, data, model, loss and distributed; builds nothing and writes nothing. Begin with loop.py and
step.py.
"""

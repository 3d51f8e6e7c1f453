"""How does the life of a run go around the fold? From settings to a folder, and to a good end.

Knows all rooms below; nothing of resuming. Begin with begin.py, then build.py, the one composition root.
"""

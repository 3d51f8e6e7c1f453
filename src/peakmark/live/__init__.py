"""How can runs be watched while they go? A server on this machine that reads their folders, and nothing else of them.

Knows record and report. Begin with server.py; state.py says what is known of a run at a moment.
"""

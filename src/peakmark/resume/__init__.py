"""How does a run go on? Read, compare, tell, restore, change, go on, watch.

Knows run and all below it. Begin with resume.py; compare.py and plan.py decide what will happen before anything does.
"""

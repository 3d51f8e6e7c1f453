"""How good are these weights on that set? One way to ask, for the log of a run and for `val` alike.

Knows data, model, loss, evaluate and distributed. Begin with validation.py.
"""

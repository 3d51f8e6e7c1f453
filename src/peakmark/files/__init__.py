"""How are files written so that no crash costs one, and read so that none can do harm?

Knows no other room but `errors` and `shown`. Begin with durable.py (writing) and torch_file.py (reading models).
"""

"""Which formats are there? A file each: how it is written, what it knows of, and how it is run again.

Knows what the room knows, but not how parity is judged. Begin with onnx.py.
"""

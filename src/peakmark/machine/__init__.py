"""What is this machine, and what does this process do on it? Devices, arithmetic, memory, threads, signals.

Knows no other room but `errors`. Begin with devices.py; random draws come from streams.py alone.
"""

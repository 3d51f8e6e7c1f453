"""What could spoil a training or its numbers, found in the data alone?

Knows the rest of data. Begin with pool.py; findings.py says what a finding is.
"""

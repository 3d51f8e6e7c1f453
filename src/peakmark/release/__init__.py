"""What is made of runs that are there? Comparisons, gates, promotions, copies in other stores.

Knows record, evaluate and checkpoint; trains nothing. Begin with promotion.py, gate.py or comparison/.
"""

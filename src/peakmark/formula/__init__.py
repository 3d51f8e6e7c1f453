"""How is a fitness or a requirement written? Arithmetic over the names of metrics; nothing of it is ever run.

Knows no other room but `errors`. Begin with terms.py (what a formula is); text.py reads one, metric_spellings.py knows
how else metrics are written.
"""

"""What does a run look like? Lines on a terminal, pictures, and pages.

Knows nouns, record, drawing and what evaluate makes of evidence; computes no result. Begin with terminal/console.py or
pages/page.py.
"""

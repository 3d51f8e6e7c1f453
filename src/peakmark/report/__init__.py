"""What does a run look like? Lines on a terminal, pictures, and pages.

Knows nouns, record and drawing; computes no result. Begin with terminal/console.py or pages/page.py.
"""

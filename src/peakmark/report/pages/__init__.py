"""What stands on the pages that people open in a browser?

Knows the pictures. Begin with page.py (a run), comparison_page.py or audit_page.py.
"""

"""What stands on the pages that people open in a browser?

Knows the pictures. Files here say what a page holds, those in templates/ how that is written as HTML, those in
scripts/ what moves on it, those in languages/ in which words; vendor/ is others' work. Begin with page.py (a run),
validation_page.py, comparison_page.py or audit_page.py.
"""

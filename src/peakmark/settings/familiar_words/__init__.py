"""Which words do people bring along from other trainers, and what becomes of each here?

Knows what a setting is. Begin with habits.py, the table; translation.py applies it to what was typed.
"""

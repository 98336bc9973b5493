"""What is measured of a version, and what the gates say of it.

Owns measuring and the order of the gates. Does not own the gates themselves (`gates`).
"""

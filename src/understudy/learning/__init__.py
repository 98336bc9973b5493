"""From experience to a better model: what is learned from, and how it is made safe to learn from.

Owns exports of what was logged. Does not own the log (`storage`) nor redaction (`safety`).
"""

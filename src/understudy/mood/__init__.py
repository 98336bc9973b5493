"""What a message sounds like, and the mood of a chat.

Owns sentiment, the meter and its colour. Does not own where readings go (`app`, `outputs`).
"""

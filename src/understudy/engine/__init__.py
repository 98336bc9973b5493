"""The co-host's mind: sessions, personas, commands, context, choosing, turns.

Owns the way from a message to a reply. Does not own the model (`brains`), where messages come
from (`sources`) or who is shown the reply (`outputs`, `server`).
"""

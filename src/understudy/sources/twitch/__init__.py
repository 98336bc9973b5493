"""Twitch: reading chat without an account, and everything that needs one.

Owns what speaks to Twitch. `irc` reads any channel anonymously; its parts are `irc_message` (one
line), `chat` (the event a line is) and `irc_link` (the socket). Does not own what becomes of the
events.
"""

"""Twitch: reading chat without an account, and everything that needs one.

Owns what speaks to Twitch. `irc` reads any channel anonymously; its parts are `irc_session` (one
connection's conversation), `irc_link` (the socket), `irc_message` (one line) and `chat` (the event
a line is). Does not own what becomes of the events.
"""

"""The HTTP API, the sockets and the pages, over the rooms the composition root wired.

Owns the wire: routes, frames, errors, tokens, limits. Does not own what happens behind it.
`server.http` is the way in. Nothing is imported here: making or checking a token needs no FastAPI.
"""

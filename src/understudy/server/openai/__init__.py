"""The OpenAI-compatible API, so that tools made for OpenAI talk to the co-host unchanged.

`requests` reads what a client asks, `wire` writes completions and chunks, `errors` the form of
errors, `responses` sends an answer whole or token by token. The routes are in `routes.openai`.
"""

"""Training at somebody else's: files go there, a name comes back.

Owns following a provider's job to its end, across restarts. Does not own what is trained on
(`learning.datasets`) nor the version it becomes (`learning.versions`).
"""

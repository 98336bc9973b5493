"""From deployments to answers: who gets which version, and what becomes of a canary.

Owns the choice of a version for a reply, the comparison of a canary with the live version, and the
tasks that follow both. Does not own who may deploy (`learning.versions`) nor how a version is
loaded (`learning.serving`).
"""

"""From experience to a better model: what is learned from, and how it is made safe to learn from.

In the way of the data: `feedback` and `reactions`, `datasets`, `training` (or `providers`),
`versions`, `evaluation` by the `gates`, `rollout` and `serving`; `nightly` does it all by itself.
Does not own the log (`storage`) nor what personal data looks like (`safety`).
"""

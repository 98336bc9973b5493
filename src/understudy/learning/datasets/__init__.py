"""From what was logged to folders a model can be trained on: what is fit, how much, on which side.

Owns the rows of a dataset. Does not own what they teach (`training`) nor files for other tools
(`exports`).
"""

"""Trained versions: their names and files, where they come from, and who may deploy them."""

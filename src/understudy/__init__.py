"""Understudy: a self-hosted AI co-host for live streams that learns from its audience."""

__version__ = "0.1.0"

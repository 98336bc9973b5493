"""The composition root: builds the rooms from the settings, wires, starts and stops them."""

from understudy.app.application import Application

__all__ = ["Application"]

"""Where replies and events go: the live feed of dashboards and overlays."""

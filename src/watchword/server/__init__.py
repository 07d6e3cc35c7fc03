"""The roof: Watchword standing alone."""

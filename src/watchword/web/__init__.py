"""The doors: HTTP in, HTTP out. They translate; flows decide."""

"""The rooms that decide. A flow reads the clock once, asks the stores by their verbs, and raises after the commit."""

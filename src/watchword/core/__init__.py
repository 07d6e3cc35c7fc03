"""The ground floor: values and rules. No I/O, no clock, no environment; time and chance come in as arguments."""

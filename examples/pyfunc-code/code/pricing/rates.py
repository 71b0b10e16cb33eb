"""Rates of the hours."""


def rate(hour):
    """Units of currency for each kilometre at that hour."""
    return 2.5 if 7 <= hour < 19 else 4.0

"""Fares by distance and hour."""

import humanize

from pricing.rates import rate


def price(distance, hour, currency):
    """The fare as people write it."""
    return f"{humanize.intcomma(round(distance * rate(hour), 2), 2)} {currency}"

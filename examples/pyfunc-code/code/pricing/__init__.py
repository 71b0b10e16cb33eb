"""Prices of fares."""

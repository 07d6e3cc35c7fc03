"""The features that the server has by itself: its routes, and what the command line acts on."""

from watchword.features.api_keys import ApiKeys
from watchword.features.base import Feature


def standard() -> list[Feature]:
    """Each feature of the server's, made anew."""
    return [ApiKeys()]

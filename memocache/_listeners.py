"""Listeners: who is told of what happens to calls, entries and servers; _events says what, once somebody listens."""

from collections.abc import Callable
from typing import Final

listeners: Final[dict[str, Callable[..., None]]] = {}
"""By kind of event, what tells those who listen to it: of the function, the key and the cache, and more by name.

It is empty as long as nobody listens. So all that is paid then is one look into an empty dict, and in process for hits
not even that: they are sent the long way while somebody listens to them, and so are operations (see *switches*).
"""

switches: Final[dict[str, list[Callable[[bool], object]]]] = {"hit": [], "operation": []}
"""By kind, what is called with True when such events are to be told from now on, and with False when they need not be.
"""

"""To which names a server answers: a page from elsewhere may give its own name this address.

That is DNS rebinding: a browser then lets the page read what a server of this machine answers, and
only the `Host` of its requests, which is the page's, gives it away.
"""

import ipaddress
from collections.abc import Iterable

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """The names that a server is asked by.

    Args:
        host: where it listens. With the address of all of a machine's addresses, each of them is
            meant: numbers are nobody's name.
        allowed: names besides, as that of a proxy.
    """

    def __init__(self, host: str = "127.0.0.1", allowed: Iterable[str] = ()) -> None:
        address = _address(host)
        self._takes_numbers = address is not None and address.is_unspecified
        self._names = LOOPBACK | {_name(each) for each in (host, *allowed)}

    def refusal(self, header: str) -> str:
        """Why a request is refused, with the remedy; nothing where it is not.

        Args:
            header: its `Host`, as it came; empty where there was none.
        """
        name = _name(header)
        if name in self._names or (self._takes_numbers and _address(name) is not None):
            return ""
        asked = f'"{name[:80]}"' if name.isprintable() and name else "no name that can be shown"
        return (
            f"expected a Host of {', '.join(sorted(self._names))}, got {asked}; where a proxy or "
            "another name leads here, start the server with --allowed-host NAME"
        )


def _name(header: str) -> str:
    """The name in a `Host`, without its port and the brackets of an address of IPv6."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name = text if text.count(":") > 1 else text.partition(":")[0]
    return name.removesuffix(".")


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None

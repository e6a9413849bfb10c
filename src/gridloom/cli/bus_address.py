"""From `--bus` to a connection: an address with credentials in it, or the ready file of a server that we started."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from gridloom.core.errors import BadInput
from gridloom.ioe.credentials import Credentials
from gridloom.ioe.server import ServerAddress


def resolve_bus(bus: str) -> ServerAddress:
    """Return where the bus is and who we are to it.

    Args:
        bus: `nats://user:password@host:port`, or the path of a ready file.

    Raises:
        BadInput: Neither of the two.
        Unavailable: The ready file is not there: no server is running.
    """
    if "://" not in bus:
        return ServerAddress.read(Path(bus))
    parts = urlsplit(bus)
    if parts.scheme not in {"nats", "tls"} or not parts.hostname:
        message = (
            f"--bus is {bus!r}; give nats://user:password@host:port or the path of a ready file"
        )
        raise BadInput(message)
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    url = urlunsplit((parts.scheme, host, "", "", ""))
    return ServerAddress(url=url, user=parts.username or "", password=parts.password or "")


def credentials_of(address: ServerAddress) -> Credentials | None:
    """Return the credentials of an address, or None where it has none."""
    return address.credentials if address.user else None

"""Only who asks by a name of this server is answered."""

from starlette.types import ASGIApp, Receive, Scope, Send

from nas.hosts import Hosts
from nas.serving.refusing import Refusal

MISDIRECTED = 421


class Named:
    """Refuses requests whose `Host` is no name of this server, before anything of them is read."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope["headers"] if name == b"host"]
        header = given[0].decode("latin-1") if len(given) == 1 else ""
        if said := self._hosts.refusal(header):
            await Refusal(MISDIRECTED, said)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

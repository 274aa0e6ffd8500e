"""An SSH server that forwards connections: `python ssh_server.py ADDRESS` prints its port."""

import asyncio
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    """Lets everybody in: who reaches it is in a namespace of the tests."""

    def begin_auth(self, username):
        return False

    def connection_requested(self, *where):
        return True


async def session(process):
    """A shell whose user never leaves."""
    await asyncio.Event().wait()


async def serve(address):
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        address, 0, server_factory=Server, server_host_keys=[key], process_factory=session
    )
    print(server.get_port(), flush=True)
    await asyncio.Event().wait()


asyncio.run(serve(sys.argv[1]))

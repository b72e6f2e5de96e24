"""A real mail server for a test: takes mails for one login, and appends each to a file as a line of JSON.

server.py USER PASSWORD FILE    prints `ready HOST:PORT`, and serves until its standard input ends
"""
import asyncio
import json
import sys

from aiosmtpd.smtp import SMTP, AuthResult

user, password, file = sys.argv[1:]


class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps(envelope.original_content.decode()) + "\n")
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    known = (data.login, data.password) == (user.encode(), password.encode())
    # A refusal is left to the server to tell.
    return AuthResult(success=known, handled=False)


def connection():
    # There is no TLS on the way to this machine itself.
    return SMTP(Keep(), authenticator=authenticate, auth_required=True, auth_require_tls=False)


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"ready {host}:{port}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(serve())

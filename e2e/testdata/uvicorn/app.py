"""An ASGI application with a page that answers and one that fails."""


class Unpaid(Exception):
    """An order that nobody has paid."""


def charge(order):
    raise Unpaid(order)


async def app(scope, receive, send):
    if scope["type"] != "http":  # the lifespan
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/fail":
        charge(scope["query_string"].decode().partition("fail=")[2])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"ok"})

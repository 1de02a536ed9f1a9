#!/usr/bin/env python3
"""Writes structlog.log: lines as a service with structlog writes them.

    cd testdata && /usr/bin/python3 gen.py > structlog.log

Made with structlog 22.3 on Python 3.11, the versions of Debian 12. Clock, process and thread are
fixed, and the service's source lies where a container has it, so that the output is the same
everywhere. Lines that begin with # say how what follows is configured.
"""

import datetime
import io
import json
import linecache
import logging
import os
import sys
import types

import structlog
from structlog.processors import CallsiteParameter, CallsiteParameterAdder

APP = "/app/orders.py"
SOURCE = '''
import structlog

class Declined(Exception):
    """A card that does not pay."""

def charge(card):
    secret = "4111 1111 1111 1111"
    raise Declined(f"card {card!r} was declined")

def pay(order):
    try:
        charge("M. Müller")
    except Declined as error:
        raise RuntimeError(f"order {order} is not paid") from error

def clean_up():
    try:
        {}["connection"]
    except KeyError:
        1 / 0

def group():
    raise ExceptionGroup("two of them", [ValueError("one"), TypeError("two")])

def compile_it():
    compile("total = = 1", "rules.py", "exec")

def several_lines():
    raise ValueError("first line\\nsecond line\\n  third: line")

def attempt(name, *arguments, **kw):
    try:
        globals()[name](*arguments)
    except Exception:
        log.exception("attempt failed", **kw)

def say(event, **kw):
    log.info(event, **kw)
'''

NOW = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456)


class Clock(datetime.datetime):
    """datetime.datetime at one moment."""

    moment = NOW

    @classmethod
    def now(cls, tz=None):
        return cls.moment.replace(tzinfo=tz)

    @classmethod
    def utcnow(cls):
        return cls.moment


def freeze():
    thread = types.SimpleNamespace(name="MainThread")
    structlog.processors.datetime = types.SimpleNamespace(datetime=Clock)
    structlog.processors.time = types.SimpleNamespace(time=lambda: 1714979289.123456)
    structlog.processors.threading = types.SimpleNamespace(get_ident=lambda: 140210263975744, current_thread=lambda: thread)
    structlog.processors.os = types.SimpleNamespace(getpid=lambda: 7, path=os.path)


def load():
    linecache.cache[APP] = (len(SOURCE), None, SOURCE.splitlines(True), APP)
    app = {"__name__": "orders"}
    exec(compile(SOURCE, APP, "exec"), app)
    return app


def logger(*processors, renderer=None, **bound):
    """A structlog logger that prints what the processors make of an event."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[*processors, renderer or structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger().bind(**bound)


def attempt(app, log, *arguments, **kw):
    app["log"] = log
    app["attempt"](*arguments, **kw)


def say(app, log, event, **kw):
    app["log"] = log
    app["say"](event, **kw)


def section(title):
    print("#", title)


level = structlog.processors.add_log_level
iso = structlog.processors.TimeStamper(fmt="iso", utc=True)
exc = structlog.processors.format_exc_info


def plain():
    section("add_log_level, TimeStamper(iso)")
    log = logger(level, iso, logger="shop.orders", tenant="acme")
    log.debug("cache warm", entries=12)
    log.info("request finished", method="POST", path="/api/v1/orders", status=201, duration_ms=12.847)
    log.warning("slow query", seconds=3.0, sql='SELECT "id"\n\tFROM orders')
    log.error("no stock", sku=None, retry=False, left=0)
    log.critical("disk full")
    log.warn("an old name")
    log.fatal("another old name")
    section("no event, no level")
    logger().info(None, answer=42)
    section("the event is not a string")
    logger(level).info({"type": "order", "id": 7})


def times():
    section("TimeStamper: iso without a zone, seconds, a format of its own, an odd key, no fraction")
    logger(structlog.processors.TimeStamper(fmt="iso", utc=False)).info("local time")
    logger(structlog.processors.TimeStamper()).info("seconds")
    logger(structlog.processors.TimeStamper(fmt="%d.%m.%Y %H:%M")).info("german")
    logger(structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S")).info("spaced")
    logger(structlog.processors.TimeStamper(fmt="iso", key="ts")).info("other key")
    Clock.moment = NOW.replace(microsecond=0)
    logger(iso).info("no fraction")
    Clock.moment = NOW


def values():
    section("values of all kinds")
    log = logger(level)
    log.info("numbers", huge=2**64, least=-(2**63), small=1e-9, big=1e300, no=float("nan"), much=float("inf"), less=float("-inf"))
    log.info("nested", order={"items": [{"sku": "A-1", "n": 2}, {"sku": "B-7", "n": 1}], "paid": None}, tags=["beta", "eu"], empty=[{}, []])
    log.info("objects", when=NOW, path=type("P", (), {"__repr__": lambda self: "<P>"})(), raw=b"\x00\xff")
    log.info("Grüße 😀 \u2028", город="Москва", control="\x01\x7f", bad="\udc80")
    section("ensure_ascii=False, sort_keys=True")
    logger(level, renderer=structlog.processors.JSONRenderer(ensure_ascii=False, sort_keys=True)).info("Grüße 😀", город="Москва")
    section("separators without spaces")
    logger(level, renderer=structlog.processors.JSONRenderer(separators=(",", ":"))).info("tight", a=1, b=[1, 2])
    section("EventRenamer to message, and to msg with another key as event")
    logger(structlog.processors.EventRenamer("message")).info("renamed")
    logger(structlog.processors.EventRenamer("msg", "_event")).info("renamed", _event="click")


def exceptions(app):
    section("format_exc_info")
    log = logger(level, iso, exc)
    attempt(app, log, "pay", 8812, order=8812)
    attempt(app, log, "clean_up")
    attempt(app, log, "group")
    attempt(app, log, "compile_it")
    attempt(app, log, "several_lines")
    log.info("nothing was raised", exc_info=True)
    section("dict_tracebacks")
    log = logger(level, iso, structlog.processors.dict_tracebacks)
    attempt(app, log, "pay", 8812, order=8812)
    attempt(app, log, "clean_up")
    attempt(app, log, "compile_it")
    attempt(app, log, "several_lines")
    section("no formatter")
    attempt(app, logger(level), "several_lines")
    section("StackInfoRenderer")
    log = logger(level, stack_printer())
    say(app, log, "how did we come here", stack_info=True)


def stack_printer():
    """StackInfoRenderer with the frames of the service only."""
    render = structlog.processors.StackInfoRenderer()

    def process(log, name, event):
        event = render(log, name, event)
        lines = event["stack"].splitlines()
        kept = [i for i, line in enumerate(lines) if APP in line]
        event["stack"] = "\n".join([lines[0], *lines[kept[0] : kept[-1] + 2]])
        return event

    return process


def callsites(app):
    section("CallsiteParameterAdder, all parameters, then some")
    say(app, logger(level, CallsiteParameterAdder(list(CallsiteParameter))), "where")
    some = [CallsiteParameter.FILENAME, CallsiteParameter.FUNC_NAME, CallsiteParameter.LINENO]
    say(app, logger(level, CallsiteParameterAdder(some)), "where")
    section("keys that are not the logger's")
    logger(level).info("uploaded", filename="cat.jpg", name="bob", file="x.txt")


def traces():
    section("trace ids: as processors in the field write them")
    trace, span = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
    log = logger(level)
    log.info("format", trace_id=format(trace, "032x"), span_id=format(span, "016x"), trace_flags="01")
    log.info("hex", trace_id=hex(trace), span_id=hex(span), trace_flags=1)
    log.info("no span", trace_id="0" * 32, span_id="0" * 16)
    log.info("none", trace_id=None, span_id=None)
    log.info("nested", span={"trace_id": format(trace, "032x"), "span_id": format(span, "016x"), "parent_span_id": None})
    log.info("nested, nothing else", span={"trace_id": format(trace, "032x"), "span_id": format(span, "016x")})
    log.info("uuid", trace_id="0AF76519-16CD-43DD-8448-EB211C80319C")
    log.info("integers", trace_id=trace, span_id=span)
    log.info("not an id", trace_id="unknown", span_id="b7ad6b7169203331")
    log.info("header", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    log.info("datadog", **{"dd.trace_id": "1234567890123456789", "dd.span_id": "42"})


def stdlib(app):
    section("standard library's logging through ProcessorFormatter")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    shared = [structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level, structlog.stdlib.add_log_level_number, structlog.stdlib.ExtraAdder(), iso, exc]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()],
    ))
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.DEBUG
    structlog.reset_defaults()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    structlog.contextvars.clear_contextvars()
    structlog.get_logger("shop.cart").warning("from structlog", user="u-1")
    logging.getLogger("urllib3").debug("from %s", "logging", extra={"port": 443})
    logging.getLogger("uvicorn.error").info("Uvicorn running", extra={"color_message": "Uvicorn \x1b[1mrunning\x1b[0m"})
    attempt(app, logging.getLogger("celery"), "several_lines")
    sys.stdout.write(stream.getvalue())


def bound():
    section("context variables and bound values; a value bound twice")
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(user="u-1")
    log = logger(structlog.contextvars.merge_contextvars, level).bind(user="u-2").new(component="pay")
    log.info("bound", component="refund")
    structlog.contextvars.clear_contextvars()


def others():
    section("not JSON: uvicorn without a formatter, a traceback's lines, other renderers")
    print("\x1b[32mINFO\x1b[0m:     127.0.0.1:51234 - \"\x1b[1mGET / HTTP/1.1\x1b[0m\" \x1b[32m200 OK\x1b[0m")
    print("Traceback (most recent call last):")
    print("  File \"/app/orders.py\", line 9, in charge")
    logger(level, renderer=structlog.processors.LogfmtRenderer()).info("logfmt", status=201)
    logger(level, renderer=structlog.processors.KeyValueRenderer()).info("key value", status=201)
    section("two writers in one pipe, a line that was cut, something behind the object")
    whole = json.dumps({"event": "request finished", "user": "u-1", "level": "info"})
    print(whole[:31] + whole)
    print(whole[:31])
    print(whole + whole)
    print(whole + " done")


def main():
    sys.stdout.reconfigure(encoding="utf-8")
    freeze()
    app = load()
    plain()
    times()
    values()
    exceptions(app)
    callsites(app)
    traces()
    stdlib(app)
    bound()
    others()


if __name__ == "__main__":
    main()

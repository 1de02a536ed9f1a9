#!/usr/bin/env python3
"""Writes a .log beside itself for each logging library of Python, and a .txt for each stack trace.

Wants Debian's python3-structlog, python3-pythonjsonlogger, python3-uvicorn, python3-loguru,
python3-eliot, python3-logbook and gunicorn, and its Python: /usr/bin/python3 generate.py

Clock, process and thread are fixed, and the code that logs lies where a container has it, so that
the output is the same everywhere. Lines that begin with # say how what follows is configured.
"""

import datetime
import io
import json
import linecache
import logging
import logging.config
import os
import re
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
APP = "/app/orders.py"
SOURCE = '''
def say(log, level, message, *args, **kw):
    getattr(log, level)(message, *args, **kw)

def charge(card):
    raise ValueError(f"card {card!r} was declined\\\\ntry another")

def fail(log, method="exception", **kw):
    try:
        charge("M. Müller")
    except ValueError:
        getattr(log, method)("payment failed", **kw)

def pay():
    try:
        charge("x")
    except ValueError as error:
        raise RuntimeError("order 7 is not paid") from error

def group():
    raise ExceptionGroup("two of them", [ValueError("one"), TypeError("two")])
'''.replace("\\\\n", "\\n")

MOMENT = 1714979289.123456  # 2024-05-06T07:08:09.123456Z


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(MOMENT, tz or datetime.timezone.utc).replace(tzinfo=tz)

    @classmethod
    def utcnow(cls):
        return datetime.datetime.utcfromtimestamp(MOMENT)


def freeze():
    os.environ["TZ"] = "UTC"
    time.tzset()
    time.time = lambda: MOMENT
    os.getpid = lambda: 7
    threading.get_ident = lambda: 140210263975744
    threading.main_thread()._ident = 140210263975744
    logging.time.time = time.time
    logging._startTime = MOMENT - 1


def load():
    linecache.cache[APP] = (len(SOURCE), None, SOURCE.splitlines(True), APP)
    app = {"__name__": "orders"}
    exec(compile(SOURCE, APP, "exec"), app)
    return app


def write(name, text):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(text)


class Output(io.StringIO):
    """What a library writes to, with the titles of what follows."""

    def section(self, title):
        self.write(f"# {title}\n")


def of_structlog(app):
    import structlog
    from structlog.processors import CallsiteParameter, CallsiteParameterAdder, JSONRenderer, LogfmtRenderer, StackInfoRenderer, TimeStamper, dict_tracebacks, format_exc_info

    structlog.processors.datetime = type("module", (), {"datetime": Clock})
    structlog.processors.time = time
    structlog.processors.threading = threading
    structlog.processors.os = os
    out = Output()
    common = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, TimeStamper(fmt="iso", utc=True)]

    def log(*more, renderer=JSONRenderer()):
        structlog.reset_defaults()
        structlog.configure(processors=[*common, *more, renderer], wrapper_class=structlog.make_filtering_bound_logger(0),
                            logger_factory=structlog.PrintLoggerFactory(out), cache_logger_on_first_use=False)
        return structlog.get_logger()

    out.section("structlog, JSONRenderer")
    for level in ["debug", "info", "warning", "error", "critical"]:
        app["say"](log().bind(user="u-1"), level, "spoken", cart={"id": 7, "items": ["a", {"n": 1.5}]}, paid=True, who=None)
    out.section("format_exc_info")
    app["fail"](log(format_exc_info))
    out.section("dict_tracebacks")
    app["fail"](log(dict_tracebacks))
    out.section("CallsiteParameterAdder, StackInfoRenderer")
    app["say"](log(CallsiteParameterAdder(list(CallsiteParameter))), "info", "from here")
    app["say"](log(StackInfoRenderer()), "info", "with its stack", stack_info=True)
    out.section("sorted keys, another message key")
    app["say"](log(structlog.processors.EventRenamer("msg"), renderer=JSONRenderer(sort_keys=True)), "info", "renamed", zone="eu")
    out.section("add_log_level_number, time as a number")
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.stdlib.add_log_level_number, TimeStamper(), JSONRenderer()], wrapper_class=structlog.BoundLogger,
                        logger_factory=structlog.PrintLoggerFactory(out), cache_logger_on_first_use=False)
    for level in ["debug", "warning", "critical"]:
        app["say"](structlog.get_logger(), level, "numbered")
    out.section("LogfmtRenderer, ConsoleRenderer with and without colours")
    app["say"](log(renderer=LogfmtRenderer()), "info", "logfmt", status=201)
    app["say"](log(renderer=structlog.dev.ConsoleRenderer(colors=True, pad_event=0)), "warning", "colours", status=201)
    app["say"](log(renderer=structlog.dev.ConsoleRenderer(colors=False, pad_event=0)), "warning", "none", status=201)
    mine = r'  File \\"[^"]*generate\.py\\", line \d+, in [^\\]+\\n    (?:[^\\]|\\")*\\n'
    return re.sub(mine, "", out.getvalue())


def of_stdlib(app, name, formatters):
    """A logger of the standard library with each of the formatters, by title."""
    out = Output()
    for title, formatter in formatters.items():
        out.section(title)
        handler = logging.StreamHandler(out)
        handler.setFormatter(formatter)
        log = logging.Logger(name, logging.DEBUG)
        log.addHandler(handler)
        log.manager = logging.Logger.manager
        for level in ["debug", "info", "warning", "error", "critical"]:
            app["say"](log, level, "spoken to %s", "u-1", extra={"cart": {"id": 7, "items": ["a", {"n": 1.5}]}})
        if "text" not in title:
            app["fail"](log)
    return out


def of_pythonjsonlogger(app):
    from pythonjsonlogger import jsonlogger

    names = "asctime levelname name message pathname funcName lineno process thread threadName"
    return of_stdlib(app, "shop.orders", {
        "python-json-logger, format with callsite": jsonlogger.JsonFormatter(" ".join(f"%({n})s" for n in names.split())),
        "timestamp=True": jsonlogger.JsonFormatter("%(levelname)s %(name)s %(message)s", timestamp=True),
        "renamed fields, number of the level": jsonlogger.JsonFormatter("%(levelno)s %(message)s %(created)s", rename_fields={"levelno": "level_number", "created": "timestamp"}),
    })


def of_logging(app):
    return of_stdlib(app, "shop.orders", {
        "logging, basicConfig's format, text": logging.Formatter(logging.BASIC_FORMAT),
        "with a time, text": logging.Formatter("%(asctime)s %(levelname)s [%(name)s] %(message)s"),
    })


def of_uvicorn(app):
    import uvicorn.config

    out = Output()
    logging.addLevelName(5, "TRACE")
    for title, colors in [("uvicorn, without colours", False), ("with colours", True)]:
        out.section(title)
        config = json.loads(json.dumps(uvicorn.config.LOGGING_CONFIG))
        for formatter in config["formatters"].values():
            formatter["use_colors"] = colors
        for handler in config["handlers"].values():
            handler["stream"] = out
        logging.config.dictConfig(config)
        error, request = logging.getLogger("uvicorn.error"), logging.getLogger("uvicorn.access")
        error.setLevel(5)
        error.info("Started server process [%d]", 7, extra={"color_message": "Started server process [\x1b[36m%d\x1b[0m]"})
        error.log(5, "%s - ASGI [%d] Started", "127.0.0.1:1234", 1)
        error.debug("= connection is OPEN")
        error.warning("Unsupported upgrade request.")
        error.error("Exception in ASGI application")
        error.critical("out of everything")
        form = '%s - "%s %s HTTP/%s" %d'
        request.info(form, "127.0.0.1:51234", "GET", "/items/7?expand=prices&q=%C3%A9", "1.1", 200)
        request.info(form, "::1:51234", "POST", "/items", "1.1", 422)
        request.info(form, "10.1.2.3:0", "DELETE", "/items/7", "1.0", 500)
        request.info(form, "", "GET", "/", "1.1", 204)
        error.info('%s - "WebSocket %s" [accepted]', ("127.0.0.1", 51234), "/ws")
    return out


def of_gunicorn(app):
    from gunicorn.config import Config
    from gunicorn.glogging import Logger

    out = Output()
    out.section("gunicorn: text whose levels only a rule can tell")
    log = Logger(Config())
    for handler in log.error_log.handlers:
        handler.setStream(out)
    app["say"](log, "info", "Starting gunicorn %s", "20.1.0")
    app["say"](log, "warning", "Worker with pid %s was terminated due to signal %s", 9, 15)
    app["say"](log, "critical", "WORKER TIMEOUT (pid:%s)", 9)
    return out


def of_loguru(app):
    import loguru._logger
    from loguru import logger

    out = Output()
    out.section("loguru, serialize=True")
    zone = datetime.timezone.utc
    loguru._logger.aware_now = lambda: loguru._datetime.datetime.fromtimestamp(MOMENT, zone)
    loguru._logger.start_time = loguru._logger.aware_now()
    loguru._logger.getpid = os.getpid
    loguru._logger.get_ident = threading.get_ident
    thread, process = type("T", (), {"ident": threading.get_ident(), "name": "MainThread"}), type("P", (), {"ident": 7, "name": "MainProcess"})
    loguru._logger.current_thread, loguru._logger.current_process = lambda: thread, lambda: process
    logger.remove()
    logger.add(out, serialize=True, level=0, colorize=False, backtrace=False, diagnose=False)
    for level in ["trace", "debug", "info", "success", "warning", "error", "critical"]:
        app["say"](logger.bind(user="u-1"), level, "spoken to {who}", who="u-1", cart={"id": 7, "items": ["a", {"n": 1.5}]})
    app["fail"](logger)
    out.section("its text")
    logger.remove()
    logger.add(out, colorize=True, level=0)
    app["say"](logger, "warning", "colours")
    return out


def of_eliot(app):
    import eliot

    out = Output()
    out.section("eliot, which has neither levels nor messages")
    eliot.to_file(out)
    with eliot.start_action(action_type="shop:pay", order=7):
        eliot.log_message(message_type="shop:said", text="spoken")
    try:
        with eliot.start_action(action_type="shop:charge"):
            app["charge"]("x")
    except ValueError:
        pass
    tasks = {}
    for task in re.findall(r'"task_uuid": "([^"]+)"', out.getvalue()):
        tasks.setdefault(task, f"00000000-0000-4000-8000-{len(tasks) + 1:012}")
    text = out.getvalue()
    for task, fixed in tasks.items():
        text = text.replace(task, fixed)
    return text


def of_logbook(app):
    import logbook

    out = Output()
    out.section("logbook, text")
    logbook.set_datetime_format(Clock.utcnow)
    with logbook.StreamHandler(out).applicationbound():
        app["say"](logbook.Logger("shop"), "warning", "spoken to {}", "u-1")
        app["say"](logbook.Logger("shop"), "notice", "noticed")
    return out


def trace(app, name):
    """What the interpreter prints when nobody catches it."""
    try:
        app[name]()
    except BaseException as error:
        text = "".join(traceback.format_exception(error))
        return re.sub(r'( *(?:\| +)?)File "[^"]*generate.py", line \d+, in trace\n.*\n', r'\1File "/app/main.py", line 3, in <module>\n', text).rstrip("\n")


def main():
    freeze()
    app = load()
    for name in ["structlog", "pythonjsonlogger", "logging", "uvicorn", "gunicorn", "loguru", "eliot", "logbook"]:
        out = globals()["of_" + name](app)
        write(name + ".log", out if isinstance(out, str) else out.getvalue())
    write("cause.txt", trace(app, "pay"))
    write("group.txt", trace(app, "group"))


if __name__ == "__main__":
    main()

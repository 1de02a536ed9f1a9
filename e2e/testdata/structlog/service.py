#!/usr/bin/env python3
"""A service that logs with structlog, unmodified, to its standard output.

    service.py shapes      one line of each shape, for the comparison of fields
    service.py count N     N numbered lines
    service.py count N S   N lines with the marks of series S
"""

import logging
import sys

import structlog

TRACE = 0x0AF7651916CD43DD8448EB211C80319C
SPAN = 0xB7AD6B7169203331


class Declined(Exception):
    """A card that does not pay."""


def charge():
    try:
        raise Declined("card of M. Müller was declined")
    except Declined as error:
        raise RuntimeError("order 8812 is not paid") from error


def add_trace(logger, name, event):
    """What services with OpenTelemetry have as a processor."""
    event["trace_id"] = format(TRACE, "032x")
    event["span_id"] = format(SPAN, "016x")
    event["trace_flags"] = "01"
    return event


def logger(*processors):
    """A logger that prints JSON, with processors before the renderer."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *processors,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    return structlog.get_logger()


def stdlib():
    """The standard library's logging, rendered by structlog."""
    shared = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.DEBUG
    logging.getLogger("celery.worker").warning("from %s", "logging", extra={"port": 5672})


def shapes():
    log = logger()
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("level " + level)

    structlog.contextvars.bind_contextvars(request="r-1")
    log.bind(tenant="acme", logger="shop.orders").info(
        "Grüße 😀", path="/orders", status=201, ms=12.5, ok=True, none=None, tags=["a", "b"], order={"id": 7, "items": [1, 2]}
    )
    structlog.contextvars.clear_contextvars()

    logger(add_trace).info("traced")

    for formatter in (structlog.processors.format_exc_info, structlog.processors.dict_tracebacks):
        log = logger(formatter)
        try:
            charge()
        except RuntimeError:
            log.exception("payment failed", order=8812)

    logger().info("large", payload="x" * 40_000)
    stdlib()
    print("not JSON at all", flush=True)


def count(total, series=None):
    log = logger(add_trace, structlog.processors.format_exc_info)
    for n in range(total):
        if series:
            structlog.contextvars.bind_contextvars(mark=f"~{series}~{n}~")
        if n % 100 == 99:
            try:
                charge()
            except RuntimeError:
                log.exception("payment failed", n=n)
        elif n % 500 == 250:
            log.info("large", n=n, payload="y" * 40_000)
        else:
            log.info("request finished", n=n, path="/api/v1/orders")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    if sys.argv[1] == "shapes":
        shapes()
    else:
        count(int(sys.argv[2]), *sys.argv[3:])

"""Logs of ops-backend: one JSON object a line on stdout, with the ids of the span that is current."""

import logging
import sys

import structlog
from opentelemetry import trace


def add_trace(logger, name, event):
    """Adds the ids by which a log record finds its span."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = format(span.trace_id, "032x")
        event["span_id"] = format(span.span_id, "016x")
        event["trace_flags"] = format(span.trace_flags, "02x")
    return event


def configure(level=logging.INFO):
    """Call it once, before the first line is logged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_trace,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )

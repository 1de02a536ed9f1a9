// One span and one count of a service that is configured by OTEL_* variables alone, with the OpenTelemetry SDK for JavaScript,
// unmodified. Prints the ids of the span.

import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, envDetector } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';

const resource = detectResources({ detectors: [envDetector] });
const spans = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
const metrics = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })] });

const span = spans.getTracer('ops').startSpan('GET /orders');
metrics.getMeter('ops').createCounter('orders').add(1);
const { traceId, spanId } = span.spanContext();
console.log(`${traceId} ${spanId}`);
span.end();
await spans.shutdown();
await metrics.shutdown();

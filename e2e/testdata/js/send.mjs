// Sends spans, logs and metrics with the OpenTelemetry SDK for JavaScript, unmodified.
//
//   node send.mjs grpc|proto|json ENDPOINT gzip|none SERVICE UNIX_SECONDS TRACES
//
// Trace ids begin with the 16 digits TRACES, times begin at UNIX_SECONDS. The times of metrics are the SDK's own: they
// are written to standard output, by metric, as [start, end] in seconds.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags, createTraceState } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

const [transport, endpoint, compression, service, unixSeconds, traces] = process.argv.slice(2);

const exporters = async (signal, name) => {
  const kind = { grpc: 'grpc', proto: 'proto', json: 'http' }[transport];
  const module = await import(`@opentelemetry/exporter-${signal}-otlp-${kind}`);
  const path = { trace: 'traces', metrics: 'metrics', logs: 'logs' }[signal];
  const url = transport === 'grpc' ? `http://${endpoint}` : `http://${endpoint}/v1/${path}`;
  return new module[name]({ url, compression, temporalityPreference: AggregationTemporality.DELTA });
};

const at = (milliseconds) => {
  const nanos = 123456789 + milliseconds * 1_000_000;
  return [Number(unixSeconds) + Math.floor(nanos / 1e9), nanos % 1e9];
};

const spanId = (n) => n.toString(16).padStart(16, '0');
const traceId = (n) => traces + spanId(n);

let lastSpan = 0;
const idGenerator = { generateTraceId: () => traceId(1), generateSpanId: () => spanId(++lastSpan) };

const resource = resourceFromAttributes(
  { 'service.name': service, 'process.pid': 7, canary: true, zones: ['a', 'b'] },
  { schemaUrl: 'https://opentelemetry.io/schemas/1.37.0' },
);
const scopeSchema = { schemaUrl: 'https://opentelemetry.io/schemas/1.36.0' };

async function sendSpans() {
  const provider = new BasicTracerProvider({
    resource,
    idGenerator,
    spanProcessors: [new BatchSpanProcessor(await exporters('trace', 'OTLPTraceExporter'))],
  });
  const tracer = provider.getTracer('shop/checkout', '1.2.3', scopeSchema);
  const elsewhere = {
    traceId: traceId(99),
    spanId: spanId(98),
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
    traceState: createTraceState('vendor=one,other=two'),
  };
  const root = tracer.startSpan(
    'POST /orders',
    {
      kind: SpanKind.SERVER,
      startTime: at(0),
      attributes: { 'http.request.method': 'POST', status: 500, ratio: 0.25, retried: false, sizes: [1, 2], text: 'Grüße "x"\n' },
      links: [{ context: elsewhere, attributes: { why: 'batch' } }],
    },
    ROOT_CONTEXT,
  );
  root.addEvent('reserved', { items: 3 }, at(1));
  root.addEvent('charged', {}, at(2));
  root.setStatus({ code: SpanStatusCode.ERROR, message: 'card declined' });
  const below = trace.setSpan(ROOT_CONTEXT, root);
  for (const kind of [SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.PRODUCER, SpanKind.CONSUMER]) {
    const child = tracer.startSpan(`child ${kind}`, { kind, startTime: at(10 + kind) }, below);
    child.setStatus({ code: SpanStatusCode.OK });
    child.end(at(20 + kind));
  }
  tracer.startSpan('follower', { startTime: at(9000) }, trace.setSpanContext(ROOT_CONTEXT, elsewhere)).end(at(9005));
  root.end(at(1500));
  await provider.forceFlush();
  await provider.shutdown();
  return below;
}

async function sendLogs(below) {
  const provider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter: await exporters('logs', 'OTLPLogExporter') })],
  });
  provider.getLogger('shop/audit', '4.5', { ...scopeSchema, attributes: { 'scope.kind': 'audit' } }).emit({
    eventName: 'shop.order.declined',
    timestamp: at(0),
    observedTimestamp: at(1000),
    severityNumber: SeverityNumber.WARN2,
    severityText: 'WARNING',
    body: { order: 'A-1', lines: [1, 2.5, true] },
    attributes: { s: 'x', i: -7, f: 0.1, b: true, raw: new Uint8Array([0, 255]), list: ['a', 'b'], m: { n: 1 } },
    context: below,
  });
  await provider.forceFlush();
  await provider.shutdown();
}

class OnDemand extends MetricReader {
  async onForceFlush() {}
  async onShutdown() {}
}

async function sendMetrics() {
  const exporter = await exporters('metrics', 'OTLPMetricExporter');
  const reader = new OnDemand({ aggregationTemporalitySelector: (kind) => exporter.selectAggregationTemporality(kind) });
  const provider = new MeterProvider({
    resource,
    readers: [reader],
    views: [
      { instrumentName: 'latency', aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: [0.1, 1, 10] } } },
      { instrumentName: 'upload.size', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { maxSize: 4 } } },
    ],
  });
  const meter = provider.getMeter('shop/meter', '6.7', scopeSchema);
  const route = { route: '/orders', ok: true };
  meter.createCounter('requests', { description: 'requests served', unit: '{request}' }).add(42, route);
  meter.createUpDownCounter('active', { unit: '{request}' }).add(-3);
  meter.createObservableCounter('cpu.time', { unit: 's' }).addCallback((result) => result.observe(12.5));
  meter.createGauge('temperature', { unit: 'Cel' }).record(21.5, route);
  const latency = meter.createHistogram('latency', { unit: 's' });
  for (const seconds of [0.0625, 0.5, 5, 50]) latency.record(seconds, route);
  const size = meter.createHistogram('upload.size', { unit: 'By' });
  for (const bytes of [0, 2, 4, 8]) size.record(bytes);

  const { resourceMetrics, errors } = await reader.collect();
  if (errors.length > 0) throw errors[0];
  await new Promise((resolve, reject) => {
    exporter.export(resourceMetrics, (result) => (result.code === 0 ? resolve() : reject(result.error)));
  });
  await exporter.shutdown();
  const times = {};
  for (const { metrics } of resourceMetrics.scopeMetrics) {
    for (const { descriptor, dataPoints } of metrics) times[descriptor.name] = [dataPoints[0].startTime[0], dataPoints[0].endTime[0]];
  }
  console.log(JSON.stringify(times));
}

const below = await sendSpans();
await sendLogs(below);
await sendMetrics();

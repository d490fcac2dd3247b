/** `@oversync/server/otel`: the figures and spans of a server for OpenTelemetry. Needs the peer dependency `@opentelemetry/api`. */
export { createOtelBridge } from './otel-bridge.ts';
export type { OtelBridgeOptions } from './otel-bridge.ts';

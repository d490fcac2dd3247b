/** Levels a log line can have. A refused request is `warn`, never `error`: the caller is told by the thrown `SyncError`. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/**
 * The port for log lines. `fields` hold codes, names of operations, counts and durations only; keys, payloads, tokens and texts of the
 * server never reach a log (client.md 1).
 */
export type Logger = (level: LogLevel, message: string, fields: Readonly<Record<string, string | number | boolean>>) => void;

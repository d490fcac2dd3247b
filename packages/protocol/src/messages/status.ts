import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { absent, CounterSchema, FeaturesSchema, parseMessage } from './schemas.ts';

/** Reply of `GET /syncx/health` and `GET /syncx/status`. */
export const StatusSchema = v.object({
  status: v.picklist(['healthy', 'unhealthy']),
  version: v.string(),
  app_name: absent(v.string()),
  lifecycle: v.picklist(['running', 'shutting_down', 'closed']),
  accepting_operations: v.boolean(),
  inflight_operations: CounterSchema,
  registered_tables: v.optional(v.array(v.string()), []),
  features: FeaturesSchema,
  user_state_retention_floor_ahead_count: CounterSchema,
  latest_bundle_seq_max: CounterSchema,
  retained_bundle_floor_min: CounterSchema,
  retained_bundle_floor_max: CounterSchema,
  retained_bundle_window_min: CounterSchema,
  retained_bundle_window_max: CounterSchema,
  history_pruned_error_count: CounterSchema,
  accepted_push_replay_count: CounterSchema,
  rejected_registered_write_count: CounterSchema,
  committed_bundle_count: CounterSchema,
  committed_bundle_bytes: CounterSchema,
  /** When the counters were taken. */
  stats_as_of: absent(v.string()),
});

/** Health and counters of one server. */
export type Status = v.InferOutput<typeof StatusSchema>;

/** @throws SyncError `protocol_violation` */
export function parseStatus(json: JsonValue): Status {
  return parseMessage(StatusSchema, json, 'protocol_violation');
}

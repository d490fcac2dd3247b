import { bundleFkAtomicity } from './bundle-fk-atomicity.ts';
import { complexMultiBatch } from './complex-multi-batch.ts';
import { conflicts } from './conflicts.ts';
import { deviceReplacement, freshInstall, multiDeviceComplex, multiDeviceSync, normalUsage, reinstall } from './first-steps.ts';
import { clone, poisonRow } from './mishaps.ts';
import { offlineOnline } from './offline-online.ts';
import type { Scenario } from './scenario.ts';
import { userSwitch } from './user-switch.ts';
import { filesSync, typedRows } from './values.ts';
import { watchProxyCut } from './watch-proxy-cut.ts';
import {
  watchDefaultOff,
  watchIdleCleanup,
  watchManyClientsConverge,
  watchPeerPush,
  watchReconnectCatchUp,
  watchServerOriginated,
  watchServerUnsupportedFallback,
} from './watch.ts';

/** Every scenario by its name on the command line, in the order in which `all` runs them. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'fresh-install': freshInstall,
  'normal-usage': normalUsage,
  reinstall,
  'device-replacement': deviceReplacement,
  'offline-online': offlineOnline,
  'user-switch': userSwitch,
  conflicts,
  'bundle-fk-atomicity': bundleFkAtomicity,
  'complex-multi-batch': complexMultiBatch,
  'multi-device-sync': multiDeviceSync,
  'multi-device-complex': multiDeviceComplex,
  'files-sync': filesSync,
  'typed-rows': typedRows,
  'poison-row': poisonRow,
  clone,
  'watch-peer-push': watchPeerPush,
  'watch-server-originated': watchServerOriginated,
  'watch-reconnect-catch-up': watchReconnectCatchUp,
  'watch-default-off': watchDefaultOff,
  'watch-server-unsupported-fallback': watchServerUnsupportedFallback,
  'watch-idle-cleanup': watchIdleCleanup,
  'watch-many-clients-converge': watchManyClientsConverge,
  'watch-proxy-cut': watchProxyCut,
};

/** Runs for every user of a parallel run. */
export const PARALLEL_SCENARIO = 'complex-multi-batch';

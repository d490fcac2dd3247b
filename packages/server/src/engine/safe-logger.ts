import { describeFault } from './describe-fault.ts';
import type { Logger } from './events.ts';

/** The host's logger, which never gets what a fault may quote: every `cause` is described before it is passed on. */
export function createSafeLogger(logger: Logger): Logger {
  const describe = (fields: Readonly<Record<string, unknown>> | undefined) =>
    fields === undefined || !('cause' in fields) ? fields : { ...fields, cause: describeFault(fields['cause']) };
  return {
    error: (message, fields) => logger.error(message, describe(fields)),
    warn: (message, fields) => logger.warn(message, describe(fields)),
    info: (message, fields) => logger.info(message, describe(fields)),
  };
}

/** `npm run test:postgres-js`: runs the server's PostgreSQL suites on the driver for postgres.js instead of node-postgres. */
import { capture, run } from './run.ts';

const files = capture('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'packages/server/src/**.pg.test.ts']);
process.env['OVERSYNC_TEST_DRIVER'] = 'postgres-js';
run('vitest', ['run', ...files.split('\n').filter((file) => file !== '')]);

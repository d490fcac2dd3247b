/** Imports what the processes under test import, so that their compile cache is filled before the first of them starts. */
import './bench-device.ts';
import '@oversync/dev-postgres';
import '@oversync/reference-server-example';

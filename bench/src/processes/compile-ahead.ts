/** Imports what the processes under test load as sources, so that their compile cache is filled before the first of them starts. */
import './bench-device.ts';

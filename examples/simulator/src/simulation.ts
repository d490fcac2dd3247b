import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import type { SyncClientOptions } from '@oversync/client';

import { SimulatedApp } from './app.ts';
import type { Environment } from './environment.ts';
import { ARRIVAL_TIMEOUT_MS } from './limits.ts';

/** Settings of a run that scenarios look at. */
export interface SimulationSettings {
  /** Compare with PostgreSQL at the end of each step. */
  readonly isVerifying: boolean;
  /** Shortens the scenarios that last minutes by design; 1 is their real length. */
  readonly timeScale: number;
  /** Lengthens the times in which something has to happen, for machines that do much else; 1 is what is promised. */
  readonly patience: number;
  /** Remove files and, where the database is not thrown away, the rows of the users. */
  readonly isCleaning: boolean;
}

export interface LaunchOptions {
  readonly options?: Partial<SyncClientOptions>;
  /** File of the database; a new one by default. */
  readonly file?: string;
  /** Where to find the server; the relay of a scenario. */
  readonly serverUrl?: string;
}

/** One run of one scenario: its users and devices, all of which end with it. */
export class Simulation {
  readonly environment: Environment;
  readonly settings: SimulationSettings;
  readonly users: string[] = [];
  readonly apps: SimulatedApp[] = [];
  readonly #name: string;
  readonly #folder: string;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(environment: Environment, settings: SimulationSettings, name: string) {
    this.environment = environment;
    this.settings = settings;
    this.#name = name;
    this.#folder = join(environment.folder, `${name}-${randomUUID()}`);
  }

  /** How long a change may take to reach a device that waits for it, in milliseconds. */
  get arrivalTimeoutMs(): number {
    return ARRIVAL_TIMEOUT_MS * this.settings.patience;
  }

  /** A user of this run only. */
  newUser(): string {
    const user = `sim-${this.#name}-${randomUUID()}`;
    this.users.push(user);
    return user;
  }

  /** Path for a database file of this run. */
  file(name: string): string {
    return join(this.#folder, `${name}.sqlite`);
  }

  async launch(name: string, launch: LaunchOptions = {}): Promise<SimulatedApp> {
    await mkdir(this.#folder, { recursive: true });
    const app = await SimulatedApp.launch({
      name,
      file: launch.file ?? this.file(name),
      serverUrl: launch.serverUrl ?? this.environment.serverUrl,
      tokenOf: (user) => this.environment.tokenOf(user),
      ...(launch.options === undefined ? {} : { options: launch.options }),
    });
    this.apps.push(app);
    return app;
  }

  /** Launches and signs in. */
  async device(name: string, user: string, launch: LaunchOptions = {}): Promise<SimulatedApp> {
    const app = await this.launch(name, launch);
    await app.signIn(user);
    return app;
  }

  /** Runs `close` when the scenario ends. */
  onEnd(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  /** Rows on the server, requests and devices, for the report. */
  async counts(): Promise<Readonly<Record<string, number>>> {
    const requests = this.apps.reduce((sum, app) => sum + app.network.requests.length, 0);
    return { users: this.users.length, devices: this.apps.length, requests };
  }

  async end(): Promise<void> {
    await Promise.all(this.apps.map((app) => app.stop()));
    for (const close of this.#closers) await close();
    if (!this.settings.isCleaning) return;
    await rm(this.#folder, { recursive: true, force: true });
    for (const user of this.users) await this.environment.backOffice.removeUser(user);
  }
}

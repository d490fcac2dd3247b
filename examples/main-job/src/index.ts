export { type Dump } from './dump.ts';
export { makeRandom, PLACES_MIN } from './edits.ts';
export { loadCities } from './place.ts';
export { digestPostgres } from './postgres-dump.ts';
export { type StartProgress } from './progress.ts';
export { openServerQuery } from './server-query.ts';
export { playStory, type StepName, type StoryOptions, type StoryResult } from './story.ts';

import { describe, expect, it } from 'vitest';

import { ChunkLines } from './chunk-line.ts';

/** Far longer than any test. */
const LONG_MS = 60_000;

/** Notes the end of a wait; `settled` gives what has happened after everything that can run has run. */
function watch(waiting: Promise<void>): () => Promise<unknown> {
  let outcome: unknown = 'waiting';
  waiting.then(
    () => (outcome = 'went on'),
    (error: unknown) => (outcome = error),
  );
  return async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return outcome;
  };
}

describe('the line of a push', () => {
  it('lets the first request go on, and the second one when that is answered', async () => {
    const lines = new ChunkLines();
    const [first, second] = [lines.enter('p'), lines.enter('p')];
    expect(await watch(first.wait(LONG_MS))()).toBe('went on');
    const settled = watch(second.wait(LONG_MS));
    expect(await settled()).toBe('waiting');
    first.leave();
    expect(await settled()).toBe('went on');
  });

  it('keeps the order of arrival although the later body is read first', async () => {
    const lines = new ChunkLines();
    const [first, second] = [lines.enter('p'), lines.enter('p')];
    const settled = watch(second.wait(LONG_MS));
    expect(await watch(first.wait(LONG_MS))()).toBe('went on');
    expect(await settled()).toBe('waiting');
    first.leave();
    expect(await settled()).toBe('went on');
  });

  it('makes one request wait at most, and requests of other pushes never', async () => {
    const lines = new ChunkLines();
    const [first, second, third] = [lines.enter('p'), lines.enter('p'), lines.enter('p')];
    const settled = watch(second.wait(LONG_MS));
    expect(await watch(third.wait(LONG_MS))()).toBe('went on');
    expect(await watch(lines.enter('q').wait(LONG_MS))()).toBe('went on');
    expect(await settled()).toBe('waiting');
    first.leave();
    expect(await settled()).toBe('went on');
  });

  it('does not wait for a request that was answered before', async () => {
    const lines = new ChunkLines();
    const [first, second] = [lines.enter('p'), lines.enter('p')];
    first.leave();
    expect(await watch(second.wait(LONG_MS))()).toBe('went on');
  });

  it('waits no longer than it may', async () => {
    const lines = new ChunkLines();
    lines.enter('p');
    const second = lines.enter('p');
    await second.wait(1);
    expect(lines.count('p')).toBe(2);
  });

  it('ends the wait with the reason of the signal', async () => {
    const lines = new ChunkLines();
    lines.enter('p');
    const second = lines.enter('p');
    const stop = new AbortController();
    const settled = watch(second.wait(LONG_MS, stop.signal));
    expect(await settled()).toBe('waiting');
    stop.abort('stopped');
    expect(await settled()).toBe('stopped');
    expect(await watch(lines.enter('p').wait(LONG_MS, stop.signal))()).toBe('stopped');
  });

  it('keeps nothing of a push whose requests are answered', () => {
    const lines = new ChunkLines();
    const [first, second] = [lines.enter('p'), lines.enter('p')];
    first.leave();
    first.leave();
    expect(lines.count('p')).toBe(1);
    second.leave();
    expect(lines.count('p')).toBe(0);
  });
});

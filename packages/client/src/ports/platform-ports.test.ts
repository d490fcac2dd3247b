import { once } from 'node:events';

import { afterEach, describe, expect, test, vi } from 'vitest';

import { createBroadcastChangeChannel } from './channel.ts';
import { alwaysOnline, platformConnectivity } from './connectivity.ts';
import { alwaysVisible, platformVisibility } from './visibility.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('ports of the platform', () => {
  test('a process without a browser is always online and visible', () => {
    expect(platformConnectivity()).toBe(alwaysOnline);
    expect(platformVisibility()).toBe(alwaysVisible);
    expect(alwaysOnline.isOnline() && alwaysVisible.isVisible()).toBe(true);
  });

  test('a browser tells about its network', () => {
    const page = new EventTarget();
    const navigator = { onLine: true };
    vi.stubGlobal('navigator', navigator);
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
    const connectivity = platformConnectivity();
    const seen: boolean[] = [];
    const end = connectivity.subscribe(() => seen.push(connectivity.isOnline()));
    navigator.onLine = false;
    page.dispatchEvent(new Event('offline'));
    navigator.onLine = true;
    page.dispatchEvent(new Event('online'));
    end();
    page.dispatchEvent(new Event('offline'));
    expect(seen).toEqual([false, true]);
  });

  test('a page tells whether it is visible', () => {
    const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    vi.stubGlobal('document', page);
    const visibility = platformVisibility();
    const seen: boolean[] = [];
    const end = visibility.subscribe(() => seen.push(visibility.isVisible()));
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
    end();
    page.dispatchEvent(new Event('visibilitychange'));
    expect(seen).toEqual([false]);
  });

  test('[T111] messages go from one end of a channel to the other, not back', async () => {
    const here = createBroadcastChangeChannel('oversync-test');
    const there = createBroadcastChangeChannel('oversync-test');
    const received: unknown[] = [];
    const arrived = new EventTarget();
    here.subscribe((message) => received.push(['here', message]));
    there.subscribe((message) => {
      received.push(['there', message]);
      arrived.dispatchEvent(new Event('message'));
    });
    const message = once(arrived, 'message');
    here.post({ tables: ['notes'] });
    await message;
    expect(received).toEqual([['there', { tables: ['notes'] }]]);
    here.close();
    there.close();
  });
});

// What the mirror says of itself, as it happens: one stream for the whole page, and /stats every five seconds without it.
import { announce } from './dom.js';

export const live = { stats: null, ready: null, events: [], connection: 'connecting' };

const listeners = new Set();
const mostEvents = 256;
const pollEvery = 5000;
/// The stream says something at least every 15 s.
const silentAfter = 20000;

let source = null;
let lastHeard = 0;
let lastEventID = null;
let retry = null;

/// Calls the listener now and whenever something has changed; the answer ends it.
export function watch(listener) {
  listeners.add(listener);
  listener(live);
  return () => listeners.delete(listener);
}

let isDue = false;
function changed() {
  if (isDue) return;
  isDue = true;
  // Once a frame at most; a page that nobody sees has no frames, and needs none.
  requestAnimationFrame(() => {
    isDue = false;
    for (const listener of [...listeners]) listener(live);
  });
}

function connection(state) {
  if (live.connection === state) return;
  const before = live.connection;
  live.connection = state;
  if (state === 'lost') announce('The mirror does not answer.');
  if (before === 'lost') announce('The mirror answers again.');
  changed();
}

function took(stats) {
  live.stats = stats;
  changed();
}

function open() {
  close();
  const after = lastEventID === null ? '' : `&after=${encodeURIComponent(lastEventID)}`;
  source = new EventSource(`/api/v1/events?also=stats${after}`);
  source.addEventListener('open', () => { lastHeard = Date.now(); connection('live'); });
  source.addEventListener('stats', (event) => {
    lastHeard = Date.now();
    connection('live');
    took(JSON.parse(event.data));
  });
  for (const name of ['tag-moved', 'tag-forgotten']) {
    source.addEventListener(name, (event) => heard(name, event));
  }
  source.addEventListener('error', () => {
    if (live.connection === 'live') connection('polling');
    // A stream that was refused is not tried again by the browser; the others are.
    if (source && source.readyState === EventSource.CLOSED && retry === null) {
      retry = setTimeout(() => { retry = null; if (!document.hidden) open(); }, 10000);
    }
    poll();
  });
}

function close() {
  if (source) source.close();
  source = null;
}

function heard(name, event) {
  lastHeard = Date.now();
  lastEventID = event.lastEventId;
  if (live.events.some((known) => known.id === event.lastEventId)) return;
  live.events.unshift({ id: event.lastEventId, name, ...JSON.parse(event.data) });
  live.events.length = Math.min(live.events.length, mostEvents);
  changed();
}

let isPolling = false;
async function poll() {
  if (isPolling) return;
  isPolling = true;
  try {
    const answer = await fetch('/stats', { cache: 'no-store' });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    took(await answer.json());
    if (live.connection !== 'live') connection('polling');
  } catch {
    connection('lost');
  } finally {
    isPolling = false;
  }
}

async function askReady() {
  try {
    const answer = await fetch('/readyz', { cache: 'no-store' });
    const type = answer.headers.get('Content-Type') ?? '';
    const body = type.includes('json') ? await answer.json() : { amiss: [(await answer.text()).trim()] };
    live.ready = { ok: answer.ok, amiss: body.amiss ?? [] };
  } catch {
    live.ready = null;
  }
  changed();
}

export function begin() {
  open();
  poll();
  askReady();
  setInterval(() => {
    if (document.hidden) return;
    const isSilent = Date.now() - lastHeard > silentAfter;
    if (live.connection === 'live' && isSilent) connection('polling');
    if (live.connection !== 'live') poll();
  }, pollEvery);
  setInterval(() => { if (!document.hidden) askReady(); }, 15000);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return close();
    open();
    poll();
    askReady();
  });
}

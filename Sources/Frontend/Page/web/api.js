// Asking the mirror, and what it says in words when it refuses. The admin token lives here, in memory unless told to stay.

const key = 'wharf-admin-token';
let token = null;
try { token = sessionStorage.getItem(key); } catch { /* storage may be forbidden: in memory alone, then */ }

const watchers = new Set();

export function hasToken() { return token !== null; }

/// - keep: in sessionStorage, until the tab is closed; never anywhere else.
export function setToken(value, keep) {
  token = value;
  try { if (value !== null && keep) sessionStorage.setItem(key, value); else sessionStorage.removeItem(key); } catch { /* as above */ }
  for (const watcher of [...watchers]) watcher();
}

/// Called whenever there is a token or none any more; the answer ends it.
export function watchToken(watcher) { watchers.add(watcher); return () => watchers.delete(watcher); }

/// What the mirror refused, or that it did not answer; the message is for people.
export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

const meanings = {
  401: 'the admin token is not right', 403: 'this is not allowed from here', 404: 'nothing is known here by that name',
  409: 'this cannot be done as things are', 413: 'that is too much at once', 429: 'too many questions at once; try again in a moment',
  500: 'something went wrong in the mirror; its log says what', 503: 'the mirror is busy or stopping; try again in a moment',
  507: 'there is no room on the disk',
};

async function refusal(answer) {
  let words = null;
  // What is no JSON in the form of the API has nothing to say to people.
  try { words = (await answer.json()).errors.map((error) => error.message).filter(Boolean).join('; '); } catch { words = null; }
  return new Refusal(answer.status, words || meanings[answer.status] || `the mirror answered with status ${answer.status}`);
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: 'no-store', credentials: 'same-origin', redirect: 'error', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, 'the mirror does not answer');
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/// GET, JSON.
export async function ask(path, signal) {
  const answer = await send(path, { signal });
  return answer.json();
}

function post(path, body, signal, presented = token) {
  const headers = { 'Content-Type': 'application/json' };
  if (presented !== null) headers.Authorization = `Bearer ${presented}`;
  return send(path, { method: 'POST', headers, body: JSON.stringify(body), signal });
}

/// POST with the token, JSON.
export async function order(path, body) { return (await post(path, body)).json(); }

/// POST with the token; calls `take` with each line of JSON as it comes.
export async function follow(path, body, take, signal) {
  const answer = await post(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    rest += value ?? '';
    const lines = rest.split('\n');
    rest = lines.pop();
    if (done && rest.trim()) lines.push(rest);
    for (const line of lines) if (line.trim()) take(JSON.parse(line));
    if (done) return;
  }
}

/// Whether this is the admin token. Asked by an order that lacks what it must have, so that nothing can come of it: the
/// token is judged before the order is read.
export async function isToken(candidate) {
  try {
    await post('/api/v1/evict', {}, undefined, candidate);
  } catch (error) {
    if (error.status === 400) return true;
    if (error.status === 401 || error.status === 403) return false;
    throw error;
  }
  throw new Refusal(200, 'the mirror does not tell whether the token is right');
}

/// The path of an image in the API: its slashes, colon and @ stay as they are.
export function imagePath(name) {
  return `/api/v1/images/${encodeURIComponent(name).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@')}`;
}

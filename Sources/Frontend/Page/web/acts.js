// What changes something: the token, prefetch, pin, forget, make room. Each tells what it did, or why not, in words.
import { announce, h, keyed, put, say } from './dom.js';
import { bytes, grouped, percent, plural } from './format.js';
import { follow, hasToken, isToken, order, setToken, watchToken } from './api.js';
import { live } from './live.js';

/// A dialog; resolves with what `close` was called with, `null` where it was dismissed. Focus returns to where it was.
function dialog(title, build) {
  return new Promise((resolve) => {
    let result = null;
    const element = h('dialog', { 'aria-labelledby': 'dialog-title' });
    const close = (value) => { result = value; element.close(); };
    put(element, h('h2', { id: 'dialog-title' }, title), build(close));
    element.addEventListener('close', () => { element.remove(); resolve(result); });
    document.body.append(element);
    element.showModal();
  });
}

/// For what cannot be taken back.
function confirmed(title, text, verb) {
  return dialog(title, (close) => [h('p', null, text), h('div', { class: 'actions' },
    h('button', { type: 'button', autofocus: true, click: () => close(null) }, 'Cancel'),
    h('button', { type: 'button', class: 'danger', click: () => close(true) }, verb))]);
}

/// The form that takes the token; `done` is called once it was accepted.
export function tokenForm(done, said = '') {
  const field = h('input', { type: 'password', id: 'token', name: 'token', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-said' });
  const keep = h('input', { type: 'checkbox', id: 'token-keep' });
  const note = h('p', { id: 'token-said', class: 'problem', role: 'alert' }, said);
  const button = h('button', { type: 'submit', class: 'main' }, 'Use this token');
  const submit = async (event) => {
    event.preventDefault();
    const value = field.value.trim();
    if (!value) return say(note, 'Type the token first.');
    button.disabled = true;
    try {
      if (await isToken(value)) {
        setToken(value, keep.checked);
        announce('The token was accepted.');
        done();
      } else {
        say(note, 'That is not the admin token of this mirror.');
        field.select();
      }
    } catch (error) {
      say(note, sentence(error.message));
    } finally {
      button.disabled = false;
    }
  };
  return h('form', { class: 'form', submit },
    h('label', { for: 'token' }, 'Admin token'), field,
    h('p', { class: 'muted' }, 'What the file named by ', h('code', null, 'access.admin-token-file'), ' holds. It is sent to this mirror only',
      location.protocol === 'http:' && !isLoopback() ? ', in clear text: this page came without TLS' : '', '.'),
    h('p', { class: 'check' }, keep, h('label', { for: 'token-keep' }, 'Keep it until this tab is closed')),
    note, h('div', { class: 'actions' }, button));
}

function isLoopback() { return ['localhost', '127.0.0.1', '[::1]'].includes(location.hostname); }

function sentence(text) { return text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}` : ''; }

/// Runs what needs the token; asks for it where there is none, or where it is not right any more.
async function withToken(run) {
  if (!hasToken() && !await askForToken('')) return undefined;
  for (;;) {
    try { return await run(); } catch (error) {
      if (error.status !== 401) throw error;
      setToken(null, false);
      if (!await askForToken('The token is not right any more.')) return undefined;
    }
  }
}

function askForToken(said) { return dialog('This takes the admin token', (close) => tokenForm(() => close(true), said)); }

/// A place for the outcome of what was done, which screen readers hear.
function outcome() {
  const element = h('p', { class: 'outcome', role: 'status' });
  return {
    element,
    good(text) { element.className = 'outcome'; say(element, sentence(text)); },
    bad(text) { element.className = 'outcome problem'; say(element, sentence(text)); },
  };
}

/// Does it, with the button busy meanwhile, and tells how it went.
async function perform(button, told, run) {
  button.disabled = true;
  told.good('Working…');
  try {
    const text = await withToken(run);
    if (text === undefined) told.good(''); else told.good(text);
    return text !== undefined;
  } catch (error) {
    told.bad(error.message);
    return false;
  } finally {
    button.disabled = false;
  }
}

const verbs = {
  pin: async (image) => {
    const { images, pinned_bytes: pinned } = await order('/api/v1/pin', { image });
    return `Pinned ${names(images, image)}; ${bytes(pinned)} are pinned in all`;
  },
  unpin: async (image) => {
    const { images, pinned_bytes: pinned } = await order('/api/v1/unpin', { image });
    return `Unpinned ${names(images, image)}; ${bytes(pinned)} are still pinned`;
  },
  invalidate: async (image) => {
    const { tags, manifests, blobs } = await order('/api/v1/invalidate', { image });
    return `Forgot ${plural(tags, 'tag')}, ${plural(manifests, 'manifest')} and ${plural(blobs, 'blob')}; the next request asks the upstream`;
  },
};

function names(images, pattern) {
  if (images.length === 0) return `${pattern} (nothing stored matches it yet)`;
  return images.length <= 3 ? images.join(', ') : `${images.slice(0, 3).join(', ')} and ${grouped(images.length - 3)} more`;
}

function confirmForgetting(image) {
  const what = /^sha(256|512):/.test(image)
    ? `${image} is forgotten wherever it is shown, and its bytes are taken from the disk. The next pull fetches it again, if the upstream still has it.`
    : `${image} is forgotten: the next pull asks the upstream what it is. The bytes stay on the disk until room is needed, since others may use them.`;
  return confirmed('Forget it now?', what, 'Forget');
}

/// Pin, fetch and forget, for one image; of one that is not stored (`null`) only to fetch it. `changed` is called after
/// something has. Its outcome stays where it stands, whatever the image becomes.
export function imageActs(name, changed) {
  const told = outcome(), progress = progressList();
  let isPinned = false;
  const button = (style, text, run) => {
    const element = h('button', { type: 'button', class: style, click: async () => {
      if (text === 'Forget' && !await confirmForgetting(name)) return;
      if (await perform(element, told, run)) changed();
    } }, text);
    return element;
  };
  const pin = button(null, 'Pin', () => verbs[isPinned ? 'unpin' : 'pin'](name));
  const fetchIt = button(null, 'Fetch', () => fetchAll([name], [], progress));
  const forget = button('danger', 'Forget', () => verbs.invalidate(name));
  const buttons = h('div', { class: 'actions' }, pin, fetchIt, forget);
  return {
    element: h('div', { class: 'acts' }, buttons, told.element, progress.element),
    update(image) {
      isPinned = image?.pinned ?? false;
      say(pin, isPinned ? 'Unpin' : 'Pin');
      say(fetchIt, image ? 'Fetch all of it' : 'Fetch it');
      pin.hidden = forget.hidden = image === null;
      fetchIt.hidden = image !== null && !image.tag;
      buttons.hidden = image?.hosted ?? false;
    },
  };
}

// MARK: Prefetch

function progressList() {
  const element = h('ul', { class: 'transfers' });
  const states = new Map();
  return {
    element,
    clear() { states.clear(); keyed(element, [], (one) => one.image, progressRow); },
    take(line) { states.set(line.image, line); keyed(element, [...states.values()], (one) => one.image, progressRow); },
    count(state) { return [...states.values()].filter((one) => one.state === state).length; },
  };
}

const states = { resolving: 'asking what it is', fetching: 'fetching', done: 'done', failed: 'failed' };

function progressRow(first) {
  const state = h('b'), amounts = h('span'), message = h('span', { class: 'problem' });
  const bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': `Fetching ${first.image}`, 'aria-valuemin': '0', 'aria-valuemax': '100' }, h('span'));
  const element = h('li', null,
    h('div', { class: 'line' }, h('span', { class: 'name' }, h('a', { href: `#/images/${first.image}` }, first.image)), state), bar,
    h('div', { class: 'line muted' }, amounts, message));
  return {
    element,
    update(line) {
      const part = line.state === 'done' ? 1 : line.size ? Math.min(1, line.received / line.size) : 0;
      bar.firstChild.style.setProperty('--part', part);
      bar.setAttribute('aria-valuenow', Math.floor(part * 100));
      element.className = line.state;
      say(state, line.state === 'fetching' && line.size ? percent(part) : states[line.state] ?? line.state);
      const whole = line.size === null ? bytes(line.received) : `${bytes(line.received)} of ${bytes(line.size)}`;
      say(amounts, line.state === 'resolving' ? '' : `${whole}, ${grouped(line.blobs_done)} of ${plural(line.blobs, 'blob')}`);
      say(message, line.message ?? '');
    },
  };
}

async function fetchAll(images, platforms, progress, signal) {
  progress.clear();
  const body = platforms.length ? { images, platforms } : { images };
  await follow('/api/v1/prefetch', body, (line) => progress.take(line), signal);
  const failed = progress.count('failed');
  return failed ? `${plural(progress.count('done'), 'image')} fetched, ${grouped(failed)} failed` : `${plural(progress.count('done'), 'image')} fetched`;
}

export function prefetchForm() {
  const images = h('textarea', { id: 'prefetch-images', rows: 3, spellcheck: 'false', required: true, 'aria-describedby': 'prefetch-hint' });
  const platforms = h('input', { id: 'prefetch-platforms', spellcheck: 'false', placeholder: 'all of them', autocomplete: 'off' });
  const told = outcome(), progress = progressList();
  const start = h('button', { type: 'submit', class: 'main' }, 'Fetch');
  const stop = h('button', { type: 'button', hidden: true }, 'Stop');
  const submit = async (event) => {
    event.preventDefault();
    const wanted = images.value.split(/[\s,]+/).filter(Boolean);
    if (!wanted.length) return told.bad('Name at least one image');
    const abort = new AbortController();
    stop.hidden = false;
    stop.onclick = () => abort.abort();
    await perform(start, told, () => fetchAll(wanted, platforms.value.split(/[\s,]+/).filter(Boolean), progress, abort.signal)
      .catch((error) => { if (error.name === 'AbortError') return 'Stopped; what others are waiting for goes on'; throw error; }));
    stop.hidden = true;
  };
  return panel('prefetch', 'Fetch ahead', 'Images that are to be here before anybody asks.',
    h('form', { class: 'form', submit },
      h('label', { for: 'prefetch-images' }, 'Images'), images,
      h('p', { class: 'muted', id: 'prefetch-hint' }, 'One a line: ', h('code', null, 'debian:12'), ', ', h('code', null, 'ghcr.io/acme/app:v1')),
      h('label', { for: 'prefetch-platforms' }, 'Platforms'), platforms,
      h('p', { class: 'muted' }, 'For instance ', h('code', null, 'linux/amd64 linux/arm64'), '.'),
      h('div', { class: 'actions' }, start, stop)), told.element, progress.element);
}

// MARK: Forms

function panel(id, title, hint, ...rest) {
  return h('section', { class: 'panel', 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), h('p', { class: 'muted' }, hint), rest);
}

export function patternForm() {
  const field = h('input', { id: 'pattern', spellcheck: 'false', autocomplete: 'off', required: true, 'aria-describedby': 'pattern-hint' });
  const told = outcome();
  const run = (verb) => async (event) => {
    const button = event.currentTarget, image = field.value.trim();
    if (!image) { told.bad('Type an image or a pattern first'); return field.focus(); }
    if (verb === 'invalidate' && !await confirmForgetting(image)) return undefined;
    return perform(button, told, () => verbs[verb](image));
  };
  const pin = run('pin');
  return panel('pattern', 'Pin, unpin, forget', 'Pinned images are never evicted. What is forgotten is asked of its upstream again.',
    h('form', { class: 'form', submit: (event) => event.preventDefault() },
      h('label', { for: 'pattern' }, 'Image or pattern'), field,
      h('p', { class: 'muted', id: 'pattern-hint' }, h('code', null, 'debian:12'), ', ', h('code', null, 'ghcr.io/acme/**'), '; without a tag every tag is meant.'),
      h('div', { class: 'actions' },
        h('button', { type: 'button', click: pin }, 'Pin'), h('button', { type: 'button', click: run('unpin') }, 'Unpin'),
        h('button', { type: 'button', class: 'danger', click: run('invalidate') }, 'Forget'))), told.element);
}

export function evictForm() {
  const field = h('input', { id: 'evict-to', spellcheck: 'false', autocomplete: 'off', required: true, placeholder: '100GB' });
  const told = outcome();
  const button = h('button', { type: 'submit', class: 'danger' }, 'Make room');
  const submit = async (event) => {
    event.preventDefault();
    const to = field.value.trim().replace(/\s+/g, '');
    if (!/^[0-9]+(\.[0-9]+)?([kKMGT]i?B|B)?$/.test(to)) return told.bad('A size is a number with a unit, as 100GB or 1.5TiB');
    const used = live.stats ? ` ${bytes(live.stats.storage.bytes)} are used now.` : '';
    const text = `Layers and manifests that were not used for longest are removed until at most ${to} are used.${used} Pinned and pushed images stay.`;
    if (!await confirmed('Make room now?', text, 'Make room')) return undefined;
    return perform(button, told, async () => {
      const done = await order('/api/v1/evict', { to: /^[0-9]+$/.test(to) ? Number(to) : to });
      return `Removed ${plural(done.evicted_blobs, 'blob')}, ${bytes(done.evicted_bytes)}; ${bytes(done.used_bytes)} are used`;
    });
  };
  return panel('evict', 'Make room', 'Evict now what would go next anyway, down to a size.',
    h('form', { class: 'form', submit }, h('label', { for: 'evict-to' }, 'Use at most'), field, h('div', { class: 'actions' }, button)), told.element);
}

export function adminView() {
  const place = h('div');
  const show = () => put(place, hasToken() ? [
    h('section', { class: 'panel line' }, h('p', null, 'The admin token is in use.'),
      h('button', { type: 'button', click: () => { setToken(null, false); announce('The token was put away.'); document.getElementById('token')?.focus(); } }, 'Put it away')),
    prefetchForm(), patternForm(), evictForm(),
  ] : h('section', { class: 'panel', 'aria-labelledby': 'token-title' }, h('h2', { id: 'token-title' }, 'Who are you?'),
    h('p', { class: 'muted' }, 'Looking is for everybody who may pull. Changing something takes the admin token.'), tokenForm(() => place.querySelector('#prefetch-images')?.focus())));
  show();
  const stop = watchToken(show);
  return { title: 'Admin', element: h('div', null, h('h1', { tabindex: '-1' }, 'Admin'), place), close: stop };
}

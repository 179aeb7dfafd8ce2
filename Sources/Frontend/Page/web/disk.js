// The disk: what is used of the limit and for what, and what would go first to make room.
import { empty, h, problem, put, say, table } from './dom.js';
import { bytes, digest, exact, grouped, percent, plural, setSize, size, time } from './format.js';
import { ask } from './api.js';
import { watch } from './live.js';
import { evictForm } from './acts.js';

const parts = [
  ['hosted', 'pushed here', 'never evicted'],
  ['pinned', 'pinned', 'never evicted'],
  ['cached', 'cached', 'evicted when room is needed, what was not used for longest first; and the database that knows it'],
  ['partial', 'unfinished', 'transfers under way, or kept to go on from'],
];

/// Bytes of each part of what is used.
function partsOf(storage) {
  const { hosted_bytes: hosted, pinned_bytes: pinned, partial_bytes: partial } = storage;
  return { hosted, pinned, partial, cached: Math.max(0, storage.bytes - hosted - pinned - partial) };
}

/// The bar with its legend; on the overview a link leads to the rest.
export function diskPart({ isShort }) {
  const bar = h('div', { class: 'stack disk', 'aria-hidden': 'true' }, parts.map(([name]) => h('span', { class: `disk-${name}` })));
  const mark = h('div', { class: 'watermark', hidden: true, 'aria-hidden': 'true' });
  const figures = parts.map(() => h('b'));
  const legend = h('ul', { class: 'keys' }, parts.map(([name, label, meaning], index) => h('li', { title: meaning },
    h('span', { class: `swatch disk-${name}`, 'aria-hidden': 'true' }), h('span', { class: 'what' }, label), figures[index])));
  const used = h('b', { class: 'large' }), limit = h('span'), share = h('span', { class: 'muted' });
  const note = h('p', { class: 'muted' });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'disk-title' },
    h('h2', { id: 'disk-title' }, 'Disk'),
    h('p', { class: 'used' }, used, ' of ', limit, ' ', share), h('div', { class: 'with-mark' }, bar, mark), legend, note,
    isShort && h('p', null, h('a', { href: '#/storage' }, 'What would be evicted next')));
  return {
    element,
    update(storage, watermark) {
      const whole = storage.max_bytes || 1;
      const amounts = partsOf(storage);
      setSize(used, storage.bytes);
      setSize(limit, storage.max_bytes);
      say(share, `(${percent(storage.bytes / whole)})`);
      parts.forEach(([name], index) => {
        bar.children[index].style.setProperty('--part', Math.min(1, amounts[name] / whole));
        setSize(figures[index], amounts[name]);
      });
      mark.hidden = !watermark;
      if (watermark) mark.style.setProperty('--at', Math.min(1, watermark / whole));
      say(note, `${watermark ? `Beyond the limit room is made until ${bytes(watermark)} are used (the mark). ` : ''}${bytes(storage.free_bytes)} free on the disk.`);
      note.title = exact(storage.free_bytes);
    },
  };
}

const candidateColumns = [
  { name: 'What', wide: true }, { name: 'Size', number: true }, { name: 'Last used' }, { name: 'Kept at least' },
];

export function storageView() {
  const disk = diskPart({ isShort: false });
  const figures = h('dl', { class: 'figures' });
  const list = h('div', null, h('p', { class: 'muted' }, 'Loading…'));
  const element = h('div', null,
    h('h1', { tabindex: '-1' }, 'Storage'), disk.element,
    h('section', { class: 'panel', 'aria-labelledby': 'kept-title' }, h('h2', { id: 'kept-title' }, 'What is kept'), figures),
    h('section', { class: 'panel', 'aria-labelledby': 'next-title' }, h('h2', { id: 'next-title' }, 'Evicted next'),
      h('p', { class: 'muted' }, 'In this order, when room is needed: what has not been used for longest goes first.'), list),
    evictForm());

  let evictions = null, storage = null, isClosed = false;
  const show = () => {
    if (!storage) return;
    disk.update(storage, evictions?.low_watermark_bytes);
    const values = [
      ['Layers and configs', grouped(storage.blobs)], ['Manifests', grouped(storage.manifests)], ['Tags', grouped(storage.tags)],
      ['Evicted so far', `${plural(storage.evicted_blobs, 'blob')}, ${bytes(storage.evicted_bytes)}`],
      ['Put aside as damaged', grouped(storage.quarantined)],
    ];
    if (figures.children.length !== values.length) put(figures, values.map(([name]) => h('div', null, h('dt', null, name), h('dd'))));
    values.forEach(([, value], index) => say(figures.children[index].lastChild, value));
  };
  const load = async () => {
    try {
      const answer = await ask('/api/v1/evictions?n=20');
      if (isClosed) return;
      const isSame = evictions && JSON.stringify(evictions.candidates) === JSON.stringify(answer.candidates);
      evictions = answer;
      show();
      if (!isSame) put(list, candidates(answer.candidates));
    } catch (error) {
      if (!isClosed) put(list, problem(error.message));
    }
  };
  const stop = watch((live) => { if (live.stats) { storage = live.stats.storage; show(); } });
  const timer = setInterval(() => { if (!document.hidden) load(); }, 15000);
  load();
  return { title: 'Storage', element, close() { isClosed = true; stop(); clearInterval(timer); } };
}

function candidates(list) {
  if (!list.length) return empty('Nothing could be evicted.', h('p', { class: 'muted' }, 'All that is stored is pinned or was pushed here, or nothing is stored yet.'));
  return table('What would be evicted next, first to go first', candidateColumns, list.map((one) => [
    h('span', { class: 'subject' },
      one.images.length ? one.images.map((image) => h('a', { href: `#/images/${image}` }, image)) : h('span', { class: 'muted' }, 'of no tagged image'),
      h('span', { class: 'muted' }, `${one.kind} `, digest(one.digest))),
    size(one.size), time(one.last_used_at), time(one.leased_until_at, '–'),
  ])).element;
}

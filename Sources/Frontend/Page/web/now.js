// What goes on at this moment: transfers in flight, upstreams, and what has changed lately.
import { empty, h, keyed, say, table } from './dom.js';
import { bytes, clock, digest, duration, exact, grouped, percent, plural, relative, setSize, size, time } from './format.js';

/// Bytes a second of a transfer: over the last seconds where the mirror says so, else since it began.
export function speed(transfer) {
  return transfer.bytes_per_second ?? (transfer.seconds > 0 ? transfer.received / transfer.seconds : 0);
}

export function transfersPart() {
  const list = h('ul', { class: 'transfers' });
  const none = empty('Nothing is being fetched.', h('p', { class: 'muted' }, 'A transfer shows here while a layer or manifest comes from an upstream.'));
  const count = h('span', { class: 'badge' });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'transfers-title', id: 'transfers' },
    h('h2', { id: 'transfers-title' }, 'Transfers in flight ', count), list, none);
  return {
    element,
    update(transfers) {
      none.hidden = transfers.length > 0;
      list.hidden = transfers.length === 0;
      say(count, transfers.length ? grouped(transfers.length) : '');
      keyed(list, transfers, (transfer) => `${transfer.digest} ${transfer.upstream}`, transferRow);
    },
  };
}

function transferRow(first) {
  const name = `${first.upstream}/${first.repository}`;
  const link = h('a', { href: `#/images/${name}` }, name);
  const bar = h('div', { class: 'bar', role: 'progressbar', 'aria-label': `Fetching ${first.digest.slice(0, 19)} of ${name}`, 'aria-valuemin': '0', 'aria-valuemax': '100' }, h('span'));
  const share = h('b');
  const amounts = h('span');
  const rate = h('span', { class: 'rate' });
  const left = h('span');
  const followers = h('span');
  const element = h('li', null,
    h('div', { class: 'line' }, h('span', { class: 'name' }, link, ' ', digest(first.digest)), share), bar,
    h('div', { class: 'line muted' }, h('span', { class: 'facts' }, amounts, rate, left), followers));
  return {
    element,
    update(transfer) {
      const { received, size: whole } = transfer;
      const isKnown = whole !== null && whole > 0;
      const part = isKnown ? Math.min(1, received / whole) : null;
      bar.classList.toggle('unknown', !isKnown);
      bar.firstChild.style.setProperty('--part', isKnown ? part : 0);
      if (isKnown) bar.setAttribute('aria-valuenow', Math.floor(part * 100)); else bar.removeAttribute('aria-valuenow');
      say(share, isKnown ? `${Math.floor(part * 100)} %` : '');
      say(amounts, isKnown ? `${bytes(received)} of ${bytes(whole)}` : `${bytes(received)}, of unknown size`);
      amounts.title = isKnown ? `${exact(received)} of ${exact(whole)}` : exact(received);
      const now = speed(transfer);
      say(rate, `${bytes(now)}/s`);
      say(left, isKnown && now > 0 ? `${duration((whole - received) / now)} left` : `for ${duration(transfer.seconds)}`);
      const ways = transfer.connections > 1 ? `, over ${transfer.connections} connections` : '';
      say(followers, `${plural(transfer.followers, 'client')} ${transfer.followers === 1 ? 'follows' : 'follow'}${ways}`);
    },
  };
}

const untouched = 'Not asked yet';
const words = { closed: 'Healthy', 'half-open': 'Being tried again', half_open: 'Being tried again', open: 'Set aside' };

/// What stands in the way of an endpoint, if anything does, and how bad that is.
export function upstreamState(upstream) {
  if (upstream.offline) return ['off', 'Offline by configuration'];
  if (upstream.spent) return ['amiss', 'No pulls left'];
  if (upstream.healthy && (upstream.breaker ?? 'closed') === 'closed') return upstream.requests ? ['good', 'Healthy'] : ['off', untouched];
  return [upstream.breaker === 'open' ? 'bad' : 'amiss', words[upstream.breaker] ?? (upstream.healthy ? 'Healthy' : 'Failing')];
}

export function upstreamsPart() {
  const list = h('ul', { class: 'upstreams' });
  const more = h('button', { type: 'button', class: 'link' });
  let all = false, last = [];
  const element = h('section', { class: 'panel', 'aria-labelledby': 'upstreams-title', id: 'upstreams' },
    h('h2', { id: 'upstreams-title' }, 'Upstreams'), list, more);
  /// Those that were never asked say little: they wait behind a button.
  const isQuiet = (upstream) => upstreamState(upstream)[1] === untouched;
  const update = (upstreams) => {
    last = upstreams;
    const quiet = upstreams.filter(isQuiet).length;
    const hides = quiet > 0 && quiet < upstreams.length;
    keyed(list, all || !hides ? upstreams : upstreams.filter((one) => !isQuiet(one)), (one) => `${one.name} ${one.endpoint}`, upstreamRow);
    more.hidden = !hides;
    more.setAttribute('aria-expanded', String(all));
    say(more, all ? 'Show fewer' : `Show ${quiet} more, not asked yet`);
  };
  more.addEventListener('click', () => { all = !all; update(last); });
  return { element, update };
}

function upstreamRow(first) {
  const state = h('span', { class: 'state' });
  const figures = h('span', { class: 'facts' });
  const pulls = h('div', { class: 'pulls' });
  const error = h('p', { class: 'last-error' });
  const element = h('li', null,
    h('div', { class: 'line' }, h('span', { class: 'name' }, h('b', null, first.name), ' ', h('span', { class: 'muted endpoint' }, first.endpoint)), state),
    h('div', { class: 'line muted' }, figures), pulls, error);
  return {
    element,
    update(upstream) {
      const [tone, text] = upstreamState(upstream);
      state.className = `state ${tone}`;
      say(state, text);
      say(figures, `${plural(upstream.requests, 'request')}, ${plural(upstream.errors, 'error')}, ${bytes(upstream.bytes)} fetched`);
      figures.title = exact(upstream.bytes);
      showPulls(pulls, upstream);
      error.hidden = !upstream.last_error;
      say(error, upstream.last_error ? `Last error: ${upstream.last_error}` : '');
    },
  };
}

/// Remaining pulls, as a bar with words, and when they come back.
function showPulls(place, upstream) {
  const limit = upstream.rate_limit;
  const isTold = limit && limit.remaining !== null;
  place.hidden = !isTold && !upstream.spent;
  if (place.hidden) return;
  if (!place.firstChild) place.append(h('div', { class: 'bar', 'aria-hidden': 'true' }, h('span')), h('p'));
  const [bar, text] = place.children;
  const share = isTold && limit.limit ? limit.remaining / limit.limit : 0;
  bar.firstChild.style.setProperty('--part', Math.min(1, share));
  bar.classList.toggle('low', share < 0.15);
  const window = limit?.window_seconds ? `, ${grouped(limit.limit ?? 0)} every ${duration(limit.window_seconds)}` : '';
  const remaining = isTold ? `${plural(limit.remaining, 'pull')} left${limit.limit ? ` of ${grouped(limit.limit)}` : ''}` : 'No pulls left';
  const until = upstream.spent_until_at ? new Date(upstream.spent_until_at) : null;
  const back = until ? `; they come back ${relative(until)}, at ${clock(until)}` : upstream.spent ? '; nobody said when they come back' : window;
  say(text, upstream.spent && !isTold ? `No pulls left${back}` : `${remaining}${back}`);
  text.title = limit?.source ? `as told for ${limit.source}` : '';
}

export function eventsPart() {
  const list = h('ol', { class: 'events' });
  const none = empty('No tag has moved lately.', h('p', { class: 'muted' }, 'When an upstream’s tag names something new, or is gone, it is told here.'));
  const more = h('button', { type: 'button', class: 'link' }, 'Show all');
  let shown = 8, known = [];
  more.addEventListener('click', () => { shown = Infinity; update(known); });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'events-title', id: 'events' },
    h('h2', { id: 'events-title' }, 'Recent changes'), list, none, more);
  const update = (events) => {
    known = events;
    none.hidden = events.length > 0;
    list.hidden = events.length === 0;
    more.hidden = events.length <= shown;
    keyed(list, events.slice(0, shown), (event) => event.id, eventRow);
  };
  return { element, update };
}

function eventRow(event) {
  const image = h('a', { href: `#/images/${event.image}` }, event.image);
  const element = h('li', null,
    h('p', null, image, event.name === 'tag-moved' ? ' names something new' : ' is gone upstream'),
    h('p', { class: 'muted facts' }, time(event.at),
      event.name === 'tag-moved' ? h('span', null, digest(event.from), ' → ', digest(event.to)) : h('span', null, 'was ', digest(event.was))));
  return { element, update() {} };
}

const useColumns = [{ name: 'Repository', wide: true }, { name: 'Requests', number: true }, { name: 'Sent', number: true }];

export function topPart() {
  const { element: list, body } = table('Most used repositories', useColumns);
  const none = empty('Nothing has been pulled yet.');
  const element = h('section', { class: 'panel', 'aria-labelledby': 'top-title' }, h('h2', { id: 'top-title' }, 'Most used'), list, none);
  const update = (top) => {
    none.hidden = top.length > 0;
    list.hidden = top.length === 0;
    keyed(body, top.slice(0, 10), (one) => one.name, (one) => {
      const requests = h('span'), sent = size(0);
      const cells = [h('a', { href: `#/images/${one.name}` }, one.name), requests, sent];
      const row = h('tr', { role: 'row' }, cells.map((cell, index) =>
        h('td', { role: 'cell', 'data-name': useColumns[index].name, class: useColumns[index].number ? 'number' : 'wide' }, cell)));
      return {
        element: row,
        update(use) { say(requests, grouped(use.requests)); setSize(sent, use.bytes); },
      };
    });
  };
  return { element, update };
}

const classes = [
  ['hit', 'from disk', 'served without asking anybody'],
  ['revalidated', 'unchanged', 'the upstream was asked and had nothing newer'],
  ['collapsed', 'shared', 'joined a transfer that somebody else had begun'],
  ['stale', 'stale', 'served as stored, since the upstream did not answer'],
  ['miss', 'fetched', 'came from the upstream'],
  ['error', 'refused or failed', 'answered with an error'],
];

export function requestsPart() {
  const bar = h('div', { class: 'stack', 'aria-hidden': 'true' }, classes.map(([name]) => h('span', { class: `class-${name}` })));
  const figures = classes.map(() => h('b'));
  const shares = classes.map(() => h('span', { class: 'muted' }));
  const legend = h('ul', { class: 'keys' }, classes.map(([name, label, meaning], index) => h('li', { title: meaning },
    h('span', { class: `swatch class-${name}`, 'aria-hidden': 'true' }), h('span', { class: 'what' }, label), figures[index], shares[index])));
  const total = h('span', { class: 'badge' });
  const element = h('section', { class: 'panel', 'aria-labelledby': 'requests-title' },
    h('h2', { id: 'requests-title' }, 'Requests ', total), bar, legend);
  return {
    element,
    update(requests) {
      say(total, grouped(requests.total));
      classes.forEach(([name], index) => {
        const share = requests.total ? requests[name] / requests.total : 0;
        bar.children[index].style.setProperty('--part', share);
        say(figures[index], grouped(requests[name]));
        say(shares[index], requests.total ? percent(share, share < 0.1 ? 1 : 0) : '');
      });
      bar.hidden = requests.total === 0;
    },
  };
}

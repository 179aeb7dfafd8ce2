// The first view: is it working, what did it save, what is it doing now; then the same over time and in detail.
import { h, keyed, say } from './dom.js';
import { bytes, duration, exact, percent, plural, roundBytes } from './format.js';
import { ask } from './api.js';
import { live, watch } from './live.js';
import { makeChart } from './charts.js';
import { diskPart } from './disk.js';
import { eventsPart, requestsPart, speed, topPart, transfersPart, upstreamState, upstreamsPart } from './now.js';

export function overviewView() {
  const parts = {
    answers: answersPart(), begin: beginPart(), history: historyPart(), transfers: transfersPart(), upstreams: upstreamsPart(),
    disk: diskPart({ isShort: true }), requests: requestsPart(), top: topPart(), events: eventsPart(),
  };
  const element = h('div', { class: 'overview' },
    h('h1', { class: 'unseen', tabindex: '-1' }, 'Overview'),
    parts.answers.element, parts.begin, parts.history.element,
    h('div', { class: 'columns' },
      h('div', null, parts.transfers.element, parts.upstreams.element, parts.top.element),
      h('div', null, parts.disk.element, parts.requests.element, parts.events.element)));
  const stop = watch(({ stats, events }) => {
    parts.answers.update();
    parts.events.update(events);
    element.classList.toggle('waiting', !stats);
    if (!stats) return;
    const isUnused = stats.requests.total === 0;
    parts.begin.hidden = !isUnused;
    // The first figures over time are wanted at once.
    if (!isUnused && parts.history.element.hidden) parts.history.load();
    parts.history.element.hidden = isUnused;
    parts.transfers.update(stats.in_flight);
    parts.upstreams.update(stats.upstreams);
    parts.disk.update(stats.storage);
    parts.requests.update(stats.requests);
    parts.top.update(stats.top_repositories);
  });
  return { title: 'Overview', element, close() { stop(); parts.history.close(); } };
}

/// Nobody has pulled yet: how to begin.
function beginPart() {
  return h('section', { class: 'panel begin', hidden: true, 'aria-labelledby': 'begin-title' },
    h('h2', { id: 'begin-title' }, 'Point a client here'),
    h('p', null, 'Nothing has been pulled through this mirror yet. The first pull of an image is fetched and kept, every later one comes from the disk.'),
    h('p', null, h('a', { class: 'button', href: '#/connect' }, 'How to point Docker, containerd or Podman here')),
    h('p', { class: 'muted' }, 'Or just try: ', h('code', null, `docker pull ${location.host}/library/alpine`)));
}

function answer(question) {
  const title = h('h2', null, question), big = h('p', { class: 'big' }), rest = h('p', { class: 'muted' }), list = h('ul', { class: 'amiss' });
  return { element: h('section', { class: 'answer', 'aria-label': question }, title, big, rest, list), big, rest, list };
}

/// The three questions of whoever opens the page.
function answersPart() {
  const working = answer('Is it working?'), saved = answer('What did it save?'), doing = answer('What is it doing now?');
  const light = h('span', { class: 'light', 'aria-hidden': 'true' }), word = h('span');
  working.big.append(light, word);
  const update = () => {
    const { stats, ready } = live;
    const [tone, verdict, list] = verdictOn(stats, ready);
    working.element.dataset.tone = tone;
    say(word, verdict);
    say(working.rest, stats ? `Version ${stats.version}, up ${duration(stats.uptime_seconds)}${stats.offline ? ', offline by configuration' : ''}` : 'Waiting for the first figures…');
    keyed(working.list, list, (text) => text, (text) => ({ element: h('li', null, text), update() {} }));
    if (!stats) return;
    say(saved.big, bytes(stats.bytes_saved));
    saved.big.title = exact(stats.bytes_saved);
    say(saved.rest, stats.requests.total === 0 ? 'Nothing was asked for yet'
      : `${percent(stats.hit_ratio, 1)} of requests answered from here; ${percent(stats.byte_hit_ratio, 1)} of ${bytes(stats.bytes.to_clients)} sent`);
    saved.rest.title = `${exact(stats.bytes.to_clients)} to clients, ${exact(stats.bytes.from_upstream)} from upstreams`;
    const transfers = stats.in_flight;
    const rate = transfers.reduce((sum, transfer) => sum + speed(transfer), 0);
    const clients = transfers.reduce((sum, transfer) => sum + transfer.followers, 0);
    say(doing.big, transfers.length ? `${bytes(rate)}/s` : 'Idle');
    say(doing.rest, transfers.length ? `${plural(transfers.length, 'transfer')} from upstreams, ${plural(clients, 'client')} waiting for them`
      : `Nothing is being fetched; ${plural(stats.storage.tags, 'tag')} ready to serve`);
  };
  return { element: h('div', { class: 'answers' }, working.element, saved.element, doing.element), update };
}

/// [tone, verdict, what is amiss]
function verdictOn(stats, ready) {
  if (live.connection === 'lost') return ['bad', 'No answer', ['The mirror does not answer this page. What you see is what it said last.']];
  if (!stats) return ['wait', '…', []];
  const list = [...(ready?.amiss ?? [])];
  const isReady = ready ? ready.ok : stats.ready;
  for (const upstream of stats.upstreams) {
    const [tone, word] = upstreamState(upstream);
    if (tone === 'bad' || tone === 'amiss') list.push(`${upstream.name}: ${word.toLowerCase()}${upstream.last_error && tone === 'bad' ? ` (${upstream.last_error})` : ''}`);
  }
  if (!isReady) return ['bad', 'Not ready', list];
  return list.length ? ['amiss', 'Yes, but', list] : ['good', 'Yes', list];
}

const spans = {
  hour: { name: 'Last hour', each: 'per minute', length: 3600000, every: 10000 },
  week: { name: 'Last week', each: 'per hour', length: 168 * 3600000, every: 60000 },
};

/// Charts of the last hour or week.
function historyPart() {
  const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
  const last = (values) => values[values.length - 1] ?? 0;
  let ratioOfAll = null;
  const traffic = makeChart({
    title: 'Traffic', format: bytes, axis: roundBytes, series: [
      { name: 'to clients', tone: 'accent', area: true, summary: (values) => bytes(sum(values)) },
      { name: 'from upstreams', tone: 'plain', area: true, summary: (values) => bytes(sum(values)) }],
  });
  const ratio = makeChart({
    title: 'Hit ratio', format: (value) => (value === null ? '–' : percent(value)), ticks: [0, 0.25, 0.5, 0.75, 1],
    series: [{ name: 'answered from here', tone: 'accent', summary: () => (ratioOfAll === null ? '–' : percent(ratioOfAll, 1)) }],
  });
  const saved = makeChart({
    title: 'Bytes saved', format: bytes, axis: roundBytes, series: [{ name: 'running total', tone: 'accent', area: true, summary: (values) => bytes(last(values)) }],
  });
  let span = 'hour', timer = null, isClosed = false;
  const note = h('p', { class: 'muted', role: 'status' });
  const buttons = Object.entries(spans).map(([key, { name }]) =>
    h('button', { type: 'button', 'aria-pressed': String(key === span), click: () => choose(key) }, name));
  const element = h('section', { class: 'panel history', 'aria-labelledby': 'history-title' },
    h('div', { class: 'heading' }, h('h2', { id: 'history-title' }, 'Over time'), h('div', { class: 'switch', role: 'group', 'aria-label': 'Span of time' }, buttons)),
    note, h('div', { class: 'charts' }, traffic.element, ratio.element, saved.element));

  const choose = (key) => {
    span = key;
    Object.keys(spans).forEach((name, index) => buttons[index].setAttribute('aria-pressed', String(name === key)));
    load();
  };
  const load = async () => {
    clearTimeout(timer);
    const asked = span;
    try {
      const answer = await ask(`/api/v1/history?span=${asked}`);
      if (isClosed || asked !== span) return;
      show(answer, spans[asked]);
      say(note, '');
    } catch (error) {
      if (!isClosed) say(note, `The figures over time could not be read: ${error.message}`);
    }
    if (!isClosed) timer = setTimeout(load, document.hidden ? 60000 : spans[asked].every);
  };
  const show = (answer, { name, length, each }) => {
    const step = answer.step_seconds * 1000;
    const points = answer.points.map((point, index) => ({ at: Date.parse(point.at), isUnderWay: index === answer.points.length - 1 }));
    const to = Math.max(Date.now(), points.length ? points[points.length - 1].at : 0);
    // A mirror that is younger than the span fills the width all the same, from ten steps on.
    const from = Math.max(to - length, Math.min(points.length ? points[0].at : 0, to - 10 * step));
    const common = { points, step, from, to, span: `${name}, ${each}` };
    const ratios = answer.points.map(({ requests: r }) => share(r));
    ratioOfAll = share(answer.points.reduce((all, { requests }) => {
      for (const key of Object.keys(requests)) all[key] = (all[key] ?? 0) + requests[key];
      return all;
    }, {}));
    let total = 0;
    const running = answer.points.map(({ bytes: b }) => { total += b.to_clients - b.from_upstream; return Math.max(0, total); });
    traffic.update({ ...common, values: [answer.points.map((p) => p.bytes.to_clients), answer.points.map((p) => p.bytes.from_upstream)] });
    ratio.update({ ...common, values: [ratios] });
    saved.update({ ...common, span: name, values: [running] });
  };
  load();
  return { element, load, close() { isClosed = true; clearTimeout(timer); [traffic, ratio, saved].forEach((chart) => chart.close()); } };
}

/// The share of requests that were answered from here, as /stats has it; null where there were none.
function share(requests) {
  const { hit = 0, miss = 0, collapsed = 0, revalidated = 0, stale = 0 } = requests;
  const served = hit + collapsed + revalidated + stale;
  return served + miss > 0 ? served / (served + miss) : null;
}

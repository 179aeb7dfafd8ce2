// What is stored: repositories, the tags of one, and what a search finds; page by page, asked of the mirror.
import { announce, empty, h, problem, put, row, say, table } from './dom.js';
import { digest, grouped, percent, plural, size, time } from './format.js';
import { ask } from './api.js';

const pageSize = 50;

/// A list that grows by pages. `path(last)` is asked, `rowsOf(answer)` makes cells of what came.
function pagedList({ caption, columns, path, rowsOf, none }) {
  const { element: list, body } = table(caption, columns);
  const more = h('button', { type: 'button', hidden: true }, 'Show more');
  const note = h('div');
  const element = h('div', null, list, note, h('p', { class: 'more' }, more));
  let abort = null, next = null;
  const load = async (isFirst) => {
    abort?.abort();
    abort = new AbortController();
    const { signal } = abort;
    more.disabled = true;
    try {
      const answer = await ask(path(isFirst ? null : next), signal);
      if (signal.aborted) return;
      const rows = rowsOf(answer).map((cells) => row(columns, cells));
      if (isFirst) put(body, rows); else body.append(...rows);
      next = answer.next;
      more.hidden = next === null;
      const count = body.children.length;
      list.hidden = count === 0;
      put(note, count === 0 && next === null ? none() : null);
      announce(`${plural(count, 'row')} shown${next === null ? '' : ', there are more'}.`);
      if (!isFirst) rows[0]?.querySelector('a')?.focus();
    } catch (error) {
      if (error.name === 'AbortError') return;
      put(note, problem(`This could not be read: ${error.message}`));
      more.hidden = true;
      if (isFirst) { put(body); list.hidden = true; }
    } finally {
      if (!signal.aborted) more.disabled = false;
    }
  };
  more.addEventListener('click', () => load(false));
  return { element, load: () => load(true), close() { abort?.abort(); } };
}

function query(values) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== '') parameters.set(name, value);
  return parameters.toString();
}

export function badges(image) {
  return [image.pinned && h('span', { class: 'badge pinned', title: 'Never evicted' }, 'pinned'), image.hosted && h('span', { class: 'badge', title: 'Pushed to this mirror' }, 'hosted')];
}

/// `#/images`, with `?q=` for a search and `by=tags` for every tag in one list.
export function repositoriesView(parameters) {
  let q = parameters.get('q') ?? '', by = parameters.get('by') === 'tags' ? 'tags' : 'repositories';
  const field = h('input', { type: 'search', id: 'search', value: q, spellcheck: 'false', autocomplete: 'off', placeholder: 'debian, ghcr.io/acme/**', 'aria-describedby': 'search-hint' });
  const place = h('div');
  let list = null, timer = null;
  const kinds = { repositories: 'Repositories', tags: 'Tags' };
  const buttons = Object.entries(kinds).map(([key, name]) => h('button', { type: 'button', 'aria-pressed': String(by === key), click: () => { by = key; search(); } }, name));
  const search = () => {
    clearTimeout(timer);
    q = field.value.trim();
    Object.keys(kinds).forEach((key, index) => buttons[index].setAttribute('aria-pressed', String(by === key)));
    const text = query({ q, by: by === 'tags' ? by : null });
    history.replaceState(null, '', `#/images${text ? `?${text}` : ''}`);
    list?.close();
    list = by === 'tags' ? tagList(q, null) : repositoryList(q);
    put(place, list.element);
    list.load();
  };
  field.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(search, 250); });
  const element = h('div', null,
    h('h1', { tabindex: '-1' }, 'Images'),
    h('form', { role: 'search', class: 'search', submit: (event) => { event.preventDefault(); search(); } },
      h('label', { for: 'search', class: 'unseen' }, 'Search what is stored'), field,
      h('div', { class: 'switch', role: 'group', 'aria-label': 'What to list' }, buttons)),
    h('p', { class: 'muted', id: 'search-hint' }, 'A part of a name, or a pattern: * is any run without a slash, ** any run.'),
    place);
  search();
  return { title: q ? `Images: ${q}` : 'Images', element, close() { clearTimeout(timer); list?.close(); } };
}

function nothing(q, what) {
  if (q) return empty(`No ${what} matches.`, h('p', { class: 'muted' }, 'Only what is stored here is searched; what is not can still be pulled.'));
  return empty('Nothing is stored yet.', h('p', null, h('a', { class: 'button', href: '#/connect' }, 'Point a client here')));
}

function repositoryList(q) {
  return pagedList({
    caption: 'Repositories', none: () => nothing(q, 'repository'),
    columns: [{ name: 'Repository', wide: true }, { name: 'Tags', number: true }, { name: 'Stored', number: true }, { name: 'Last used' }],
    path: (last) => `/api/v1/repositories?${query({ q, n: pageSize, last })}`,
    rowsOf: ({ repositories }) => repositories.map((one) => [
      h('span', { class: 'subject' }, h('a', { href: `#/images/${one.name}` }, one.name), badges(one)),
      grouped(one.tags), size(one.bytes), time(one.last_used_at)]),
  });
}

/// How much of an image is here, as a bar with words.
export function presence(stored, whole, more = '') {
  const part = whole > 0 ? Math.min(1, stored / whole) : 1;
  const bar = h('span', { class: `bar small${part === 1 ? ' whole' : ''}`, 'aria-hidden': 'true' }, h('span'));
  bar.firstChild.style.setProperty('--part', part);
  return h('span', { class: 'presence' }, bar, h('span', null, `${part === 1 ? 'all' : stored > 0 ? percent(part) : 'none'}${more}`));
}

/// - repository: its full name, where all of one are listed.
function tagList(q, repository) {
  return pagedList({
    caption: repository ? `Tags of ${repository}` : 'Tags', none: () => (repository ? empty('No tag of this repository is stored here.') : nothing(q, 'tag')),
    columns: [{ name: 'Tag', wide: true }, { name: 'Platforms' }, { name: 'Size', number: true }, { name: 'Here' }, { name: 'Last used' }, { name: 'Checked' }],
    path: (last) => `/api/v1/images?${query({ q, repository, n: pageSize, last })}`,
    rowsOf: ({ images }) => images.map((image) => [
      h('span', { class: 'subject' }, h('a', { href: `#/images/${image.name}` }, repository ? image.tag : image.name), badges(image), digest(image.digest)),
      platforms(image.platforms), size(image.size), presence(image.stored_size, image.size), time(image.last_used_at), time(image.checked_at)]),
  });
}

function platforms(list) {
  if (!list.length) return h('span', { class: 'muted' }, '–');
  const shown = list.slice(0, 2).join(', ');
  return h('span', { title: list.join(', ') }, list.length > 2 ? `${shown} +${list.length - 2}` : shown);
}

/// `#/images/docker.io/library/debian`: its tags.
export function repositoryView(name) {
  const about = h('p', { class: 'muted' });
  const list = tagList('', name);
  const element = h('div', null, crumbs(name, null), h('h1', { class: 'name', tabindex: '-1' }, name), about, list.element);
  list.load();
  // What is said of it as a whole is an extra: the list does without.
  ask(`/api/v1/repositories?${query({ q: name, n: pageSize })}`).then(({ repositories }) => {
    const found = repositories.find((one) => one.name === name);
    if (found) put(about, `${plural(found.tags, 'tag')}, `, size(found.bytes), ' stored, last used ', time(found.last_used_at), found.hosted ? ', pushed here' : `, from ${found.upstream}`);
  }).catch(() => say(about, ''));
  return { title: name, element, close: list.close };
}

/// The way back, as links.
export function crumbs(repository, reference) {
  return h('nav', { class: 'crumbs', 'aria-label': 'Where you are' },
    h('a', { href: '#/images' }, 'Images'),
    reference && [h('span', { 'aria-hidden': 'true' }, ' / '), h('a', { href: `#/images/${repository}` }, repository)]);
}

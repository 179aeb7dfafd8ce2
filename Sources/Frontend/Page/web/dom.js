// Elements made from data. Text goes in as text, whoever wrote it, so nothing from outside becomes markup.

const svgNamespace = 'http://www.w3.org/2000/svg';

/// h('p', { class: 'note' }, 'text', element, null): null and false are left out, lists are laid flat.
export function h(tag, attributes, ...children) { return fill(document.createElement(tag), attributes, children); }

/// The same for SVG.
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(svgNamespace, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/// Puts children in the place of those that are there.
export function put(parent, ...children) { parent.replaceChildren(...flat(children)); return parent; }

/// Sets a text only where it differs: what ticks each second must not disturb a selection or a screen reader.
export function say(element, text) { if (element.textContent !== text) element.textContent = text; return element; }

/// One child an item, kept from one time to the next by its key: focus and hover stay where they are.
export function keyed(parent, items, keyOf, create) {
  const known = parent.keyed ?? (parent.keyed = new Map());
  const kept = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    kept.add(key);
    let row = known.get(key);
    if (!row) { row = create(item); known.set(key, row); }
    row.update(item);
    if (row.element === place) place = place.nextElementSibling;
    else parent.insertBefore(row.element, place);
  }
  for (const [key, row] of known) if (!kept.has(key)) { row.element.remove(); known.delete(key); }
}

/// Said to screen readers, and to nobody else.
export function announce(text) {
  const announcer = document.getElementById('announcer');
  announcer.textContent = '';
  // A frame later, so that the same words are said again.
  requestAnimationFrame(() => { announcer.textContent = text; });
}

/// A table that becomes cards on a phone: each cell says the name of its column.
/// columns: { name, number: right-aligned, wide: takes what is left }
export function table(caption, columns, rows) {
  const body = h('tbody', { role: 'rowgroup' });
  const element = h('table', { class: 'cards', role: 'table' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((column) =>
      h('th', { scope: 'col', role: 'columnheader', class: kind(column) }, column.name)))),
    body);
  const add = (cells) => { body.append(row(columns, cells)); };
  (rows ?? []).forEach(add);
  return { element, body, add };
}

export function row(columns, cells) {
  return h('tr', { role: 'row' }, cells.map((cell, index) =>
    h('td', { role: 'cell', 'data-name': columns[index].name, class: kind(columns[index]) }, cell)));
}

function kind(column) {
  return [column.number && 'number', column.wide && 'wide'].filter(Boolean).join(' ') || null;
}

/// What a list says while it has nothing.
export function empty(title, ...more) { return h('div', { class: 'empty' }, h('p', { class: 'lead' }, title), ...more); }

export function problem(text) { return h('p', { class: 'problem', role: 'alert' }, text); }

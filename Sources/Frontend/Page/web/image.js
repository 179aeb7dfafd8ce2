// One image: its manifests, platforms and layers, how much of each is here, and when it was used.
import { empty, h, problem, put, table } from './dom.js';
import { bytes, digest, mediaType, percent, plural, size, time } from './format.js';
import { ask, imagePath } from './api.js';
import { badges, crumbs, presence } from './browse.js';
import { imageActs } from './acts.js';

/// The name as the address has it: `docker.io/library/debian:12`, `…@sha256:…`.
export function isImage(name) { return /[:@]/.test(name.slice(name.lastIndexOf('/') + 1)); }

export function repositoryOf(name) {
  const start = name.lastIndexOf('/') + 1;
  const end = name.slice(start).search(/[:@]/);
  return end < 0 ? name : name.slice(0, start + end);
}

export function imageView(name) {
  const repository = repositoryOf(name);
  const place = h('div', null, h('p', { class: 'muted' }, 'Loading…'));
  const abort = new AbortController();
  const element = h('div', null, crumbs(repository, name), h('h1', { class: 'name', tabindex: '-1' }, name), place);
  const acts = imageActs(name, () => load());
  const load = async () => {
    try {
      const image = await ask(imagePath(name), abort.signal);
      acts.update(image);
      keepingFocus(() => put(place, imageParts(image, acts.element)));
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.status !== 404) return put(place, problem(`This could not be read: ${error.message}`));
      acts.update(null);
      keepingFocus(() => put(place, empty('This image is not stored here.',
        h('p', { class: 'muted' }, 'It may never have been pulled, or been evicted or forgotten. A pull fetches it.'), acts.element)));
    }
  };
  load();
  return { title: name, element, close() { abort.abort(); } };
}

/// What is moved loses the focus: it goes back to where it was, or to the first button of its kind.
function keepingFocus(change) {
  const before = document.activeElement;
  change();
  if (before !== document.activeElement && before.isConnected && before !== document.body) {
    (before.checkVisibility() ? before : before.parentElement.querySelector('button:not([hidden])'))?.focus({ preventScroll: true });
  }
}

function imageParts(image, acts) {
  const facts = [
    ['Digest', h('code', { class: 'whole' }, image.digest)],
    ['Kind', mediaType(image.media_type)],
    ['Size', h('span', null, size(image.size), ', ', size(image.stored_size), ' of it here')],
    ['Tags', image.tags.length ? h('span', { class: 'tags' }, image.tags.map((tag) => h('a', { href: `#/images/${image.repository}:${tag}` }, tag))) : '–'],
    ['Last used', time(image.last_used_at)],
    ['Stored', time(image.stored_at, 'not stored')],
    ['Checked upstream', image.hosted ? 'never: it was pushed here' : time(image.checked_at)],
    ['Kept at least until', time(image.leased_until_at, image.pinned || image.hosted ? 'it is unpinned or deleted' : 'room is needed')],
  ];
  return [
    h('section', { class: 'panel', 'aria-label': 'About this image' },
      h('p', { class: 'marks' }, presence(image.stored_size, image.size, ' of it is here'), badges(image)),
      h('dl', { class: 'facts-list' }, facts.map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value)))), acts),
    h('h2', null, image.is_index ? plural(image.manifests.length, 'manifest') : 'Layers'),
    image.manifests.map((manifest) => manifestPart(manifest, image)),
    image.referrers.length > 0 && referrersPart(image),
  ];
}

const layerColumns = [{ name: 'Layer', wide: true }, { name: 'Kind' }, { name: 'Size', number: true }, { name: 'Here' }, { name: 'Last used' }];

function manifestPart(manifest, image) {
  const title = manifest.platform ?? manifest.artifact_type ?? (image.is_index ? 'no platform' : image.tag ?? 'manifest');
  const rows = [];
  if (manifest.config) rows.push(layerRow({ ...manifest.config, stored_bytes: manifest.config.stored ? manifest.config.size : 0, last_used_at: null }, 'config'));
  manifest.layers.forEach((layer, index) => rows.push(layerRow(layer, `layer ${index + 1}`)));
  const details = h('details', { class: 'panel manifest', open: manifest.stored && (!image.is_index || image.manifests.filter((one) => one.stored).length <= 2) },
    h('summary', null, h('h3', null, title), ' ',
      h('span', { class: 'muted' }, manifest.stored ? `${plural(manifest.layers.length, 'layer')}, ${bytes(manifest.size)}` : 'not fetched yet'),
      manifest.stored ? presence(manifest.stored_size, manifest.size) : h('span', { class: 'presence muted' }, 'none')),
    h('p', { class: 'muted facts' }, digest(manifest.digest), mediaType(manifest.media_type), h('span', null, 'used ', time(manifest.last_used_at))),
    rows.length ? table(`Layers of ${title}`, layerColumns, rows).element
      : h('p', { class: 'muted' }, manifest.stored ? 'It names no layers.' : 'What it names is known once it has been pulled.'));
  return details;
}

function layerRow(layer, name) {
  return [
    h('span', { class: 'subject' }, h('span', null, name), digest(layer.digest)),
    mediaType(layer.media_type), size(layer.size), whereIs(layer), layer.last_used_at ? time(layer.last_used_at) : h('span', { class: 'muted' }, '–')];
}

function whereIs(layer) {
  if (layer.foreign) return h('span', { class: 'muted', title: 'Its manifest says that clients fetch it elsewhere' }, 'elsewhere');
  if (layer.stored) return h('span', { class: 'state good' }, 'here');
  if (layer.stored_bytes > 0) return h('span', { class: 'state amiss', title: `${bytes(layer.stored_bytes)} of ${bytes(layer.size)}` }, `${percent(layer.stored_bytes / layer.size)} of it`);
  return h('span', { class: 'state off' }, 'not here');
}

function referrersPart(image) {
  const columns = [{ name: 'Artifact', wide: true }, { name: 'Kind' }, { name: 'Size', number: true }];
  return h('section', { class: 'panel', 'aria-labelledby': 'referrers-title' }, h('h2', { id: 'referrers-title' }, 'What refers to it'),
    table('What refers to it', columns, image.referrers.map((one) => [
      h('a', { href: `#/images/${image.repository}@${one.digest}` }, digest(one.digest)), mediaType(one.artifact_type), size(one.size)])).element);
}

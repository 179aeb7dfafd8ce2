// Figures for people, each with the exact value where somebody asks for it (the title).
import { h, say } from './dom.js';

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/// 1234567 → "1.23 MB": three digits, as decimal as `docker images` has it.
export function bytes(count) {
  if (count === null || count === undefined) return '–';
  let value = Math.abs(count), unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; unit += 1; }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${count < 0 ? '−' : ''}${value.toFixed(digits)} ${units[unit]}`;
}

/// At an axis: "2 MB", not "2.00 MB".
export function roundBytes(count) { return bytes(count).replace(/\.(\d*?)0+ /, (_, kept) => (kept ? `.${kept} ` : ' ')); }

export function exact(count) { return `${grouped(count)} bytes`; }

export function grouped(count) { return Math.round(count).toLocaleString('en'); }

/// A size in an element that has the exact number in its title.
export function size(count) {
  if (count === null || count === undefined) return h('span', null, '–');
  return h('span', { class: 'size', title: exact(count) }, bytes(count));
}

export function setSize(element, count) {
  element.title = exact(count);
  return say(element, bytes(count));
}

export function percent(share, digits = 0) {
  if (!Number.isFinite(share)) return '–';
  // Never "100 %" for what is not all, nor "0 %" for what is not nothing.
  const scale = 10 ** digits;
  let value = Math.round(share * 100 * scale) / scale;
  if (share < 1 && value >= 100) value = 100 - 1 / scale;
  if (share > 0 && value <= 0) return `<${1 / scale} %`;
  return `${value.toFixed(digits)} %`;
}

export function plural(count, one, many = `${one}s`) { return `${grouped(count)} ${count === 1 ? one : many}`; }

const spans = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];

/// 3725 → "1 h 2 min": two units at most.
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  if (rest < 60) return `${rest} s`;
  const parts = [];
  for (const [name, length] of spans) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' });
const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat('en-GB', { weekday: 'short', hour: '2-digit', minute: '2-digit' });

export function clock(date) { return clockTime.format(date); }
export function dayAndClock(date) { return weekday.format(date); }
export function fullTime(date) { return full.format(date); }

export function relative(date, now = Date.now()) {
  const seconds = (now - date.getTime()) / 1000;
  if (seconds < -5) return `in ${duration(-seconds)}`;
  if (seconds < 5) return 'just now';
  if (seconds < 86400 * 30) return `${duration(seconds).split(' ').slice(0, 2).join(' ')} ago`;
  return day.format(date);
}

/// An instant of the API, told from now; `refreshTimes` keeps it true.
export function time(text, none = 'never') {
  if (!text) return h('span', { class: 'muted' }, none);
  const date = new Date(text);
  return h('time', { datetime: text, title: full.format(date), class: 'relative' }, relative(date));
}

export function refreshTimes() {
  for (const element of document.querySelectorAll('time.relative')) say(element, relative(new Date(element.dateTime)));
}

/// sha256:0123456789ab…, whole in its title.
export function digest(text) {
  const [algorithm, hex] = String(text).split(':');
  const short = hex ? `${algorithm}:${hex.slice(0, 12)}` : String(text);
  return h('code', { class: 'digest', title: text }, short);
}

/// The last word of a media type says most of it.
export function mediaType(text) {
  if (!text) return '–';
  const names = {
    'application/vnd.oci.image.index.v1+json': 'OCI index',
    'application/vnd.oci.image.manifest.v1+json': 'OCI manifest',
    'application/vnd.docker.distribution.manifest.list.v2+json': 'Docker manifest list',
    'application/vnd.docker.distribution.manifest.v2+json': 'Docker manifest',
    'application/vnd.oci.image.layer.v1.tar+gzip': 'layer, gzip',
    'application/vnd.oci.image.layer.v1.tar+zstd': 'layer, zstd',
    'application/vnd.oci.image.layer.v1.tar': 'layer',
    'application/vnd.docker.image.rootfs.diff.tar.gzip': 'layer, gzip',
    'application/vnd.oci.image.config.v1+json': 'config',
    'application/vnd.docker.container.image.v1+json': 'config',
  };
  return h('span', { title: text }, names[text] ?? text.replace(/^application\/vnd\./, ''));
}

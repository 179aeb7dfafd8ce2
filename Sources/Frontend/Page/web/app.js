// The page: which view the address names, where the focus goes, and what stands above and below each view.
import { h, problem, put, say } from './dom.js';
import { refreshTimes } from './format.js';
import { begin, watch } from './live.js';
import { overviewView } from './overview.js';
import { repositoriesView, repositoryView } from './browse.js';
import { imageView, isImage } from './image.js';
import { storageView } from './disk.js';
import { connectView } from './connect.js';
import { adminView } from './acts.js';

const main = document.getElementById('main');
let current = null;

/// `#/images/docker.io/library/debian:12?q=…` → ['images', 'docker.io/library/debian:12', URLSearchParams]
function place() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const cut = path.indexOf('/');
  const view = cut < 0 ? path : path.slice(0, cut);
  let rest = cut < 0 ? '' : path.slice(cut + 1);
  // What is no escape is meant as it stands.
  try { rest = decodeURIComponent(rest); } catch { /* as it stands */ }
  return [view, rest.replace(/\/+$/, ''), new URLSearchParams(query)];
}

function viewAt([view, rest, parameters]) {
  switch (view) {
    case '': return overviewView();
    case 'images': return rest === '' ? repositoriesView(parameters) : isImage(rest) ? imageView(rest) : repositoryView(rest);
    case 'storage': return storageView();
    case 'connect': return connectView(parameters);
    case 'admin': return adminView();
    default: return { title: 'Nothing here', element: h('div', null, h('h1', { tabindex: '-1' }, 'Nothing here'), problem('There is no such page. The links above lead to what there is.')) };
  }
}

function show(isFirst) {
  const where = place();
  current?.close?.();
  current = viewAt(where);
  put(main, current.element);
  main.className = where[0] || 'overview-page';
  document.title = `${current.title} – Wharf`;
  for (const link of document.querySelectorAll('.top nav a')) {
    const isHere = link.getAttribute('href').replace(/^#\/?/, '') === where[0];
    if (isHere) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  if (isFirst) return;
  // As a page that is loaded: its beginning is seen, and what is read next is its title.
  window.scrollTo(0, 0);
  main.querySelector('h1')?.focus({ preventScroll: true });
}

const states = {
  connecting: ['wait', 'Connecting'], live: ['good', 'Live'], polling: ['amiss', 'Every 5 s'], lost: ['bad', 'No answer'],
};

function connectionShown() {
  const element = document.getElementById('connection');
  const light = h('span', { class: 'light', 'aria-hidden': 'true' }), word = h('span');
  put(element, light, word);
  watch(({ connection, stats }) => {
    const [tone, text] = states[connection];
    element.dataset.tone = tone;
    say(word, text);
    element.title = connection === 'polling' ? 'The live stream is not to be had; the figures are asked for every five seconds' : '';
    if (stats) say(document.getElementById('about'), `Wharf ${stats.version} at ${location.host}`);
  });
}

document.querySelector('.skip').addEventListener('click', (event) => {
  // The address stays: it names the view.
  event.preventDefault();
  main.focus();
});
window.addEventListener('hashchange', () => show(false));
setInterval(refreshTimes, 10000);
connectionShown();
begin();
show(true);

// How to point each client here, with this host filled in and a button that copies.
import { announce, h, put, say } from './dom.js';
import { watch } from './live.js';

const isPlain = location.protocol === 'http:';
const here = location.host;
const base = location.origin;

/// Works without TLS too, where browsers hide the clipboard: the text is selected and copied the old way.
async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return document.execCommand('copy');
  }
}

let number = 0;

/// A text to be copied, with where it goes.
function snippet(where, text) {
  number += 1;
  const id = `snippet-${number}`;
  const code = h('code', null, text);
  const button = h('button', { type: 'button', class: 'copy', 'aria-describedby': id }, 'Copy');
  button.addEventListener('click', async () => {
    const isCopied = await copy(text, code);
    say(button, isCopied ? 'Copied' : 'Press Ctrl+C');
    announce(isCopied ? 'Copied.' : 'The text is selected: press Control C to copy.');
    setTimeout(() => say(button, 'Copy'), 2500);
  });
  return h('div', { class: 'snippet' },
    h('div', { class: 'line' }, h('p', { id, class: 'where' }, where), button),
    h('pre', { tabindex: '0', role: 'region', 'aria-label': where }, code));
}

function para(...parts) { return h('p', null, parts); }
function code(text) { return h('code', null, text); }

const insecureNote = () => isPlain && para('This mirror speaks plain HTTP: clients take that only from registries that are named as insecure, which the lines below do.');

function docker() {
  const configuration = { 'registry-mirrors': [base] };
  if (isPlain) configuration['insecure-registries'] = [here];
  return [
    para('Docker asks a mirror for images of Docker Hub alone. Write this, or add it to what is there:'),
    snippet('/etc/docker/daemon.json', JSON.stringify(configuration, null, 2)),
    snippet('Then, in a shell', 'sudo systemctl restart docker\ndocker pull debian:12'),
    para('Images of other registries are pulled by a name that begins with this mirror: see “Any client”.'),
  ];
}

function containerd(registry) {
  const server = registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`;
  return [
    para('One file a registry. containerd says which registry it means, so the same text does for each.'),
    snippet(`/etc/containerd/certs.d/${registry}/hosts.toml`, `server = "${server}"\n\n[host."${base}"]\n  capabilities = ["pull", "resolve"]`),
    snippet('/etc/containerd/config.toml (containerd 2; in 1.x the section is plugins."io.containerd.grpc.v1.cri".registry)',
      '[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "/etc/containerd/certs.d"'),
    snippet('Then, in a shell', `sudo systemctl restart containerd\nsudo ctr images pull --hosts-dir /etc/containerd/certs.d ${sample(registry)}`),
  ];
}

function podman(registry) {
  const location = registry === 'docker.io' ? here : `${here}/${registry}`;
  return [
    para('Podman, skopeo, Buildah and CRI-O read the same file.'),
    snippet('/etc/containers/registries.conf.d/50-wharf.conf',
      `[[registry]]\nprefix = "${registry}"\nlocation = "${registry}"\n\n[[registry.mirror]]\nlocation = "${location}"${isPlain ? '\ninsecure = true' : ''}`),
    snippet('Then, in a shell', `podman pull ${sample(registry)}\nskopeo inspect docker://${sample(registry)}\nsudo systemctl reload crio    # where CRI-O runs`),
  ];
}

function buildkit(registry) {
  const location = registry === 'docker.io' ? here : `${here}/${registry}`;
  return [snippet('/etc/buildkit/buildkitd.toml', `[registry."${registry}"]\n  mirrors = ["${location}"]${isPlain ? `\n\n[registry."${here}"]\n  http = true` : ''}`)];
}

function k3s(registry) {
  return [
    snippet('/etc/rancher/k3s/registries.yaml', `mirrors:\n  ${registry}:\n    endpoint:\n      - "${base}"`),
    snippet('Then, in a shell', 'sudo systemctl restart k3s          # k3s-agent on agents'),
  ];
}

function any(registry) {
  const name = registry === 'docker.io' ? `${here}/library/debian:12` : `${here}/${sample(registry)}`;
  return [
    para('Whatever pulls images can pull by a name that begins with this mirror; nothing has to be configured', isPlain ? ' but that it may speak plain HTTP:' : '.'),
    isPlain && snippet('/etc/docker/daemon.json', JSON.stringify({ 'insecure-registries': [here] }, null, 2)),
    snippet('In a shell', `docker pull ${name}`),
  ];
}

const samples = {
  'docker.io': 'docker.io/library/debian:12', 'ghcr.io': 'ghcr.io/acme/app:v1', 'quay.io': 'quay.io/prometheus/busybox:latest',
  'registry.k8s.io': 'registry.k8s.io/pause:3.10', 'mcr.microsoft.com': 'mcr.microsoft.com/dotnet/runtime:9.0',
};

function sample(registry) { return samples[registry] ?? `${registry}/NAME:TAG`; }

const clients = [
  ['docker', 'Docker', docker, false], ['containerd', 'containerd', containerd, true], ['podman', 'Podman, skopeo, CRI-O', podman, true],
  ['buildkit', 'BuildKit', buildkit, true], ['k3s', 'k3s', k3s, true], ['any', 'Any client', any, true],
];

/// Where to push: the address for logins where there is one, by the name that this page came by.
function pushParts(stats) {
  if (!stats?.hosted_push) return null;
  const port = stats.login_listen?.match(/:([0-9]+)$/)?.[1];
  const target = port ? `${location.hostname}:${port}` : here;
  return h('section', { class: 'panel', 'aria-labelledby': 'push-title' }, h('h2', { id: 'push-title' }, 'Push images of your own'),
    para('Names that the configuration lists under ', code('hosted'), ' are kept here for good and never fetched from anywhere.',
      port ? ' Pushing takes a login, at an address of its own.' : ' Who may push is said by networks: no login is asked for here.'),
    isPlain && snippet('/etc/docker/daemon.json', JSON.stringify({ 'insecure-registries': [...new Set([here, target])] }, null, 2)),
    snippet('In a shell', [port && `docker login ${target}`, `docker tag hello ${target}/acme/hello:v1`, `docker push ${target}/acme/hello:v1`, `docker pull ${here}/acme/hello:v1`].filter(Boolean).join('\n')));
}

/// `#/connect`, with `?client=`.
export function connectView(parameters) {
  const wanted = parameters.get('client');
  let chosen = clients.some(([key]) => key === wanted) ? wanted : 'docker', registry = 'docker.io';
  const place = h('div'), push = h('div');
  const registries = h('select', { id: 'registry', change: () => { registry = registries.value; show(); } }, h('option', { value: registry }, registry));
  const choice = h('p', { class: 'choice' }, h('label', { for: 'registry' }, 'For images of '), registries);
  const buttons = clients.map(([key, name]) => h('button', { type: 'button', 'aria-pressed': 'false', click: () => { chosen = key; show(); } }, name));
  const show = () => {
    const [, , build, takesRegistry] = clients.find(([key]) => key === chosen);
    clients.forEach(([key], index) => buttons[index].setAttribute('aria-pressed', String(key === chosen)));
    choice.hidden = !takesRegistry;
    history.replaceState(null, '', `#/connect?client=${chosen}`);
    put(place, build(registry));
  };
  const element = h('div', null, h('h1', { tabindex: '-1' }, 'Connect'),
    h('p', { class: 'lead' }, 'Point a client at ', code(base), ' and pull as always.'),
    h('section', { class: 'panel', 'aria-labelledby': 'clients-title' }, h('h2', { id: 'clients-title' }, 'Pull through this mirror'),
      h('div', { class: 'switch wrap', role: 'group', 'aria-label': 'Client' }, buttons), insecureNote(), choice, place),
    push);
  let known = '';
  const stop = watch(({ stats }) => {
    const text = stats ? JSON.stringify([[...new Set(stats.upstreams.map((one) => one.name))], stats.hosted_push, stats.login_listen]) : '';
    if (!stats || text === known) return;
    known = text;
    const names = JSON.parse(text)[0];
    if (!names.includes(registry)) names.unshift(registry);
    put(registries, names.map((name) => h('option', { value: name }, name)));
    registries.value = registry;
    put(push, pushParts(stats));
  });
  show();
  return { title: 'Connect', element, close: stop };
}

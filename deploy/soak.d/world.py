# What the soak's upstream holds: images without end, made of a seed, so that both sides know every byte of them.
#
# A repository's tag `latest` names its newest version; `move` makes one more. Older versions stay there by digest.
# Layers are windows into one sea of random bytes behind a line of their own, so a gigabyte of them takes no room.

import hashlib
import json
import random

SEA = 32 << 20  # bytes
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


class Blob:
    """Bytes by digest: `header`, then `size - len(header)` bytes of the sea from `start`."""

    def __init__(self, world, header, start, size):
        self.sea, self.header, self.start, self.size = world.sea, header, start, size
        hasher = hashlib.sha256(header)
        hasher.update(self.sea[start:start + size - len(header)])
        self.digest = "sha256:" + hasher.hexdigest()

    def part(self, first, end):
        """The bytes from `first` to before `end`."""
        head = len(self.header)
        front = self.header[first:end] if first < head else b""
        if end <= head:
            return front
        rest = self.sea[self.start + max(0, first - head):self.start + end - head]
        return front + bytes(rest) if front else rest


class Version:
    """One image: what its tag names, every manifest below that by digest, and its blobs."""

    def __init__(self, root, manifests, blobs):
        self.root, self.manifests, self.blobs = root, manifests, blobs


class World:
    def __init__(self, seed, repositories=100):
        self.seed = seed
        self.sea = memoryview(random.Random(seed).randbytes(SEA))
        self.blobs = {}  # digest: Blob
        self.manifests = {}  # digest: (media type, bytes)
        self.bases = [self.layer(f"base {n}", (4 + 3 * n) << 20) for n in range(6)]
        self.names = [f"soak/r{n}" for n in range(repositories)]
        self.versions = {name: [] for name in self.names}
        for name in self.names:
            self.move(name)

    def layer(self, what, size):
        header = f"{what} of {self.seed}\n".encode()
        start = random.Random(header).randrange(SEA - size)
        blob = Blob(self, header, start, size)
        return self.blobs.setdefault(blob.digest, blob)

    def move(self, name):
        """The tag `latest` of `name` names a new version from now on."""
        number = len(self.versions[name])
        luck = random.Random(f"{self.seed} {name} {number}")
        base = self.bases[luck.randrange(len(self.bases))]
        manifests, blobs, children = [], [], []
        indexed = self.names.index(name) % 4 == 0
        for platform in ["amd64", "arm64"] if indexed else ["amd64"]:
            own = [
                self.layer(f"{name} {number // 3} {platform}", luck.randrange(200 << 10, 4 << 20)),
                self.layer(f"{name} {number} {platform} top", luck.randrange(40, 1 << 20)),
            ]
            config = self.layer(f"{name} {number} {platform} config", luck.randrange(300, 6000))
            manifest = {
                "schemaVersion": 2, "mediaType": MANIFEST, "config": self.named(config, CONFIG),
                "layers": [self.named(layer, LAYER) for layer in [base] + own],
                "annotations": {"of": f"{name} {number} {platform}"},
            }
            digest, size = self.keep(MANIFEST, manifest)
            manifests.append(digest)
            blobs += [config, base] + own
            children.append({
                "mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": platform}})
        root = manifests[0]
        if indexed:
            root, _ = self.keep(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
            manifests.append(root)
        self.versions[name].append(Version(root, manifests, blobs))

    def named(self, blob, kind):
        return {"mediaType": kind, "digest": blob.digest, "size": blob.size}

    def keep(self, kind, content):
        content = json.dumps(content, indent=1).encode()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.manifests[digest] = (kind, content)
        return digest, len(content)

# What the upstream has: one small image by tag and by digest, and blobs that are new each time. Files below a folder
# that nginx serves as they are.

import hashlib
import json
import os

REPOSITORY = "/v2/library/bench"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_SIZE = 600
SEA = 256 << 20  # bytes
TOUCHED = 4  # times a size: a blob, the copies of two mirrors, and some


class Blob:
    def __init__(self, digest, size, files):
        self.path, self.digest, self.size, self.files = f"{REPOSITORY}/blobs/{digest}", digest, size, files

    def drop(self):
        for file in self.files:
            os.unlink(file)


class Content:
    """`folder` on a disk, `memory` in a file system that lives in memory: where the disk is slow, what the upstream has
    is not to take its time from those who store."""

    def __init__(self, folder, memory):
        self.folder, self.memory = folder, memory
        self.blobs, self.manifests = folder + REPOSITORY + "/blobs", folder + REPOSITORY + "/manifests"
        os.makedirs(self.blobs)
        os.makedirs(self.manifests)
        self.sea = bytearray(os.urandom(SEA))
        self.manifest = manifest()
        self.digest = "sha256:" + hashlib.sha256(self.manifest).hexdigest()
        for name in ["latest", self.digest]:
            with open(f"{self.manifests}/{name}", "wb") as file:
                file.write(self.manifest)
        self.by_tag, self.by_digest = f"{REPOSITORY}/manifests/latest", f"{REPOSITORY}/manifests/{self.digest}"

    def blob(self, size, kept=False, touched=False):
        """A new one of random bytes. `kept`: on the disk, as a server of files has it; else in memory. `touched`: the
        memory for its copies is."""
        if touched:
            self.touch(size)
        self.sea[:32] = os.urandom(32)
        part = memoryview(self.sea)[:size]
        digest = "sha256:" + hashlib.sha256(part).hexdigest()
        name = f"{self.blobs}/{digest}"
        place = name if kept else f"{self.memory}/{digest}"
        with open(place, "wb") as file:
            file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if not kept:
            os.symlink(place, name)
        return Blob(digest, size, [name] if kept else [name, place])

    def touch(self, size):
        """A virtual machine pays its host for each page of memory that it touches for the first time, ten times what
        the write itself costs: what the page cache will need is touched before anything is timed."""
        name = self.memory + "/touch"
        with open(name, "wb") as file:
            for _ in range(TOUCHED):
                file.write(memoryview(self.sea)[:size])
        os.unlink(name)


def manifest():
    """Of an image of one layer, filled up to MANIFEST_SIZE."""
    def named(kind, what, size):
        digest = "sha256:" + hashlib.sha256(what).hexdigest()
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": size}
    image = {
        "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": named("config.v1+json", b"config", 1470),
        "layers": [named("layer.v1.tar+gzip", b"layer", 3370706)], "annotations": {"title": ""},
    }
    image["annotations"]["title"] = "a" * (MANIFEST_SIZE - len(json.dumps(image)))
    return json.dumps(image).encode()

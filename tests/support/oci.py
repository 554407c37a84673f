"""Follows an OCI layout in an archive from its index: oci.py ARCHIVE

Checks the digest and size of each blob, and that there is none besides; prints, for each platform, what the
configuration says and what the layer holds (https://github.com/opencontainers/image-spec).
"""

import hashlib
import io
import json
import sys
import tarfile

with tarfile.open(sys.argv[1]) as archive:
    files = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}
assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
seen = set()


def blob(descriptor):
    algorithm, digest = descriptor["digest"].split(":")
    content = files[f"blobs/{algorithm}/{digest}"]
    assert hashlib.new(algorithm, content).hexdigest() == digest, descriptor
    assert len(content) == descriptor["size"], descriptor
    seen.add(f"blobs/{algorithm}/{digest}")
    return content


def manifests(index):
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    for descriptor in index["manifests"]:
        content = json.loads(blob(descriptor))
        if "manifests" in content:
            yield from manifests(content)
        else:
            yield descriptor, content


for descriptor, manifest in manifests(json.loads(files["index.json"])):
    config = json.loads(blob(manifest["config"]))
    platform = descriptor["platform"]
    assert {key: config[key] for key in platform} == platform, config
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as content:
        held = [f"{member.name} {member.mode:o} {member.uid} {member.gid}" for member in content]
    print(platform["os"], platform["architecture"], platform.get("variant", "-"), held)
assert {name for name in files if name.startswith("blobs/")} == seen, "blobs that nothing refers to"

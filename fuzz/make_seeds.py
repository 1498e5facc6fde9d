#!/usr/bin/env python3
"""Writes the seeds that are made of the golden vectors (shared/vectors/vectors.json). Run it when these change.

The other seeds are written by hand; `@` in them stands for a person (targets/parts/person.rs).
"""
import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
vectors = json.loads((HERE.parent / "shared/vectors/vectors.json").read_text())


def seed(target: str, name: str, content: bytes) -> None:
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / re.sub(r"[^a-z0-9]+", "-", name.lower())).write_bytes(content)


for message in vectors["envelopes"]:
    kind = message["content_type"].removeprefix("application/vardpuls-").removesuffix("+cbor")
    seed(kind, message["name"], bytes.fromhex(message["payload"]))
    seed("envelope", message["name"], bytes.fromhex(message["envelope"]))
for message in vectors["wrong"]:
    seed("envelope", message["name"], bytes.fromhex(message["envelope"]))

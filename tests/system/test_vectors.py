"""The golden vectors, read by libraries that are not ours: pycose and cbor2."""

import hashlib
import json

import cbor2
from testbed import ROOT, Refused, TestCase, decode_one, follows_cddl, opened, public_key

VECTORS = json.loads((ROOT / "shared/vectors/vectors.json").read_text())
REPORT = "application/vardpuls-report+cbor"


def report(payload):
    version, hospital, epoch, sequence, observed_at, valid_for, roster_version, wards = decode_one(payload)
    if version != 1:
        raise ValueError(f"version {version}")
    return {
        "hospital": hospital,
        "epoch": epoch,
        "sequence": sequence,
        "observed_at": observed_at,
        "valid_for": valid_for,
        "roster_version": roster_version,
        "wards": [ward(*fields) for fields in wards],
    }


def ward(index, staffed, occupied, extras=None):
    extras = extras or {}
    return {
        "index": index,
        "staffed": staffed,
        "occupied": occupied,
        "available": max(0, staffed - occupied - extras.get(1, 0)),
        "extras": {str(number): count for number, count in extras.items()},
    }


def roster(payload):
    version, hospital, roster_version, wards = decode_one(payload)
    assert version == 1
    # The version is the content's: the wards' bytes are the payload's end.
    content = cbor2.dumps(wards)
    assert payload.endswith(content)
    assert roster_version == int.from_bytes(hashlib.sha256(content).digest()[:4], "big")
    names = ("index", "id", "name", "care_number", "place", "capabilities", "contact")
    return {"hospital": hospital, "version": roster_version, "wards": [dict(zip(names, w, strict=True)) for w in wards]}


def receipt(payload):
    version, hospital, issued_at, epoch, stored, refused, wanted = decode_one(payload)
    assert version == 1
    return {
        "hospital": hospital,
        "issued_at": issued_at,
        "epoch": epoch,
        "stored": stored,
        "refused": [{"sequence": sequence, "reason": reason} for sequence, reason in refused],
        "wanted": wanted,
    }


READERS = {"report": report, "roster": roster, "receipt": receipt, "feed": decode_one, "alert": decode_one}


def without_names(value):
    """The expected value without the names that only numbers stand for on the wire."""
    value = json.loads(json.dumps(value))
    for refusal in value.get("refused", []):
        del refusal["name"]
    for ward in value.get("wards", []) if "version" in value and "code" not in value else []:
        ward.pop("care", None)
    return value


class Vectors(TestCase):
    def key(self, name):
        return VECTORS["keys"][name]

    def test_key_ids_are_rfc_9679_thumbprints(self):
        for key in VECTORS["keys"].values():
            raw = bytes.fromhex(key["public_key_bytes"])
            self.assertEqual(public_key(key["public_key"]).x, raw)
            thumbprint = hashlib.sha256(cbor2.dumps({1: 1, -1: 6, -2: raw}, canonical=True)).hexdigest()
            self.assertEqual(key["fingerprint"], thumbprint)
            self.assertEqual(key["kid"], thumbprint[:16])

    def test_every_envelope_verifies_and_says_its_value(self):
        for vector in VECTORS["envelopes"]:
            with self.subTest(vector["name"]):
                key = self.key(vector["key"])
                envelope = bytes.fromhex(vector["envelope"])
                payload = opened(
                    envelope, public_key(key["public_key"]), vector["content_type"], bytes.fromhex(key["kid"])
                )
                self.assertEqual(payload.hex(), vector["payload"])
                kind = vector["content_type"].removeprefix("application/vardpuls-").removesuffix("+cbor")
                follows_cddl(kind, [payload])
                self.assertEqual(READERS[kind](payload), without_names(vector["value"]))

    def test_every_wrong_envelope_is_refused_on_its_layer(self):
        for vector in VECTORS["wrong"]:
            with self.subTest(vector["name"]), self.assertRaises(Refused) as refused:
                key = public_key(self.key(vector["key"])["public_key"])
                payload = opened(bytes.fromhex(vector["envelope"]), key, REPORT)
                try:
                    report(payload)
                    follows_cddl("report", [payload])
                except Exception as error:
                    raise Refused("payload", error) from error
            self.assertEqual(refused.exception.layer, vector["layer"], vector["name"])

    def test_a_report_of_25_wards_is_within_12_bytes_a_ward(self):
        envelope = next(v["envelope"] for v in VECTORS["envelopes"] if v["name"] == "report of 25 wards")
        self.assertLessEqual(len(envelope) // 2, 12 * 25)

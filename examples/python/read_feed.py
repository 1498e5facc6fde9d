"""Reads the feed, verifies it with the centre's public key, and prints one line a message.

    python read_feed.py BROKER_HOST:PORT ed25519:PUBLIC_KEY [--count N]

Needs paho-mqtt and cwt (which brings cbor2), and nothing of Vardpuls: a feed message is a COSE_Sign1 (RFC 9052)
over CBOR. Whoever has the centre's public key can trust the figures, whatever broker they came through.
"""

import argparse
import base64
import hashlib
import sys

import cbor2
import paho.mqtt.client as mqtt
from cwt import COSE, COSEAlgs, COSEHeaders, COSEKey, COSEKeyCrvs, COSEKeyParams, COSEKeyTypes

CONTENT_TYPE = "application/vardpuls-feed+cbor"


def centre_key(text):
    """The key of `ed25519:` and base64url without padding."""
    scheme, _, encoded = text.partition(":")
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    if scheme != "ed25519" or len(raw) != 32:
        raise ValueError("a public key is written ed25519: and 43 characters of base64url")
    # The key id in an envelope is the first 8 bytes of the key's thumbprint (RFC 9679).
    required = {COSEKeyParams.KTY: COSEKeyTypes.OKP, COSEKeyParams.CRV: COSEKeyCrvs.ED25519, COSEKeyParams.X: raw}
    thumbprint = hashlib.sha256(cbor2.dumps({int(label): value for label, value in required.items()}, canonical=True))
    return COSEKey.new({**required, COSEKeyParams.ALG: COSEAlgs.EDDSA, COSEKeyParams.KID: thumbprint.digest()[:8]})


def verified(envelope, key):
    """The feed message in an envelope; an error where the centre did not sign it."""
    protected, _unprotected, payload = COSE.new().decode_with_headers(envelope, key)
    # Only what stands in the protected header is signed. The content type tells a feed message from any
    # other that the same key has signed.
    if protected.get(COSEHeaders.CTY) != CONTENT_TYPE:
        raise ValueError(f"not a feed message: {protected.get(COSEHeaders.CTY)}")
    return cbor2.loads(payload)


def line(feed):
    """One message for people. A figure that nobody vouches for is None: unknown, never zero."""
    total, coverage = feed["total"], feed["coverage"]

    def figure(name):
        return "?" if total[name] is None else total[name]

    return (
        f"{feed['as_of']}  {feed['level']:8} {feed['code']:20} {figure('occupied'):>6} of {figure('staffed'):>6} beds"
        f" occupied, {figure('available'):>5} available"
        f"  ({coverage['fresh']} of {coverage['hospitals']} hospitals)  {feed['name']}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("broker", help="host:port")
    parser.add_argument("key", help="the centre's public key, ed25519:…")
    parser.add_argument("--count", type=int, default=0, help="end after so many verified messages")
    arguments = parser.parse_args()
    key = centre_key(arguments.key)
    host, _, port = arguments.broker.rpartition(":")
    left = arguments.count

    def on_connect(client, _userdata, _flags, reason, _properties):
        print(f"connected: {reason}", file=sys.stderr)
        client.subscribe("vardpuls/v1/feed/#", qos=1)

    def on_message(client, _userdata, message):
        nonlocal left
        try:
            feed = verified(message.payload, key)
        except Exception as error:  # whatever a stranger may have published: say so and go on
            print(f"NOT TRUSTED: {message.topic}: {error}", file=sys.stderr)
            return
        print(line(feed), flush=True)
        left -= 1
        if left == 0:
            client.disconnect()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = on_connect, on_message
    client.connect(host or "127.0.0.1", int(port))
    client.loop_forever()


if __name__ == "__main__":
    main()

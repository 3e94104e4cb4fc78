"""TLS for client.py, in Python's standard library and `openssl`, written from docs/wire.md alone.

The exporter of RFC 8446 is worked out by hand from the secret that OpenSSL writes into its key log, since the ssl module
has none: so the binding of the Hello is checked against something other than the function that made it.
"""
import hashlib
import hmac
import os
import ssl
import subprocess
import tempfile

LABEL = b"EXPORTER-trunkline-hello"


def expand_label(secret, label, context, size, hashed):
    """HKDF-Expand-Label."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + bytes([len(context)]) + context
    block = output = b""
    while len(output) < size:
        block = hmac.new(secret, block + info + bytes([len(output) // hashed().digest_size + 1]), hashed).digest()
        output += block
    return output[:size]


def export(secret, label, context, size):
    hashed = hashlib.sha384 if len(secret) == 48 else hashlib.sha256
    derived = expand_label(secret, label, hashed(b"").digest(), hashed().digest_size, hashed)
    return expand_label(derived, b"exporter", hashed(context).digest(), size, hashed)


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more).stdout


class Identity:
    """A key and its certificate, as files; `files` says where."""
    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.key, self.certificate = (os.path.join(self.directory.name, name) for name in ("key.pem", "certificate.pem"))
        openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", "2",
                "-subj", "/CN=python")
        public_key = openssl("pkey", "-in", self.key, "-pubout", "-outform", "DER")[-32:]
        self.node_id = hashlib.sha256(b"trunkline node id 1" + public_key).digest()[:16]

    def secure(self, connection):
        """The connection over TLS, our node id, and what our Hello has to say on it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["trunkline"])
        context.load_cert_chain(self.certificate, self.key)
        with tempfile.NamedTemporaryFile("r") as log:
            context.keylog_filename = log.name
            secured = context.wrap_socket(connection)
            secrets = [line.split() for line in log if line.startswith("EXPORTER_SECRET ")]
        assert secured.version() == "TLSv1.3" and secured.selected_alpn_protocol() == "trunkline"
        return secured, self.node_id, export(bytes.fromhex(secrets[-1][2]), LABEL, b"dialler", 32)

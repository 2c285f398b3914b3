"""A certificate of our own for LocalStack's port, which speaks TLS to who asks for it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from localstack import config

NAMES = ("localhost", "localhost.localstack.cloud", "*.localhost.localstack.cloud")
LIFE = timedelta(days=30)


def provide() -> None:
    """Unless the user names one, the one in LocalStack's cache, made anew at each start."""
    if config.CUSTOM_SSL_CERT_PATH:
        return
    file = Path(config.dirs.cache) / "samara.pem"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(pem(datetime.now(UTC)))
    config.CUSTOM_SSL_CERT_PATH = str(file)


def pem(at: datetime) -> bytes:
    """A key and a certificate that it signs itself, in the order in which LocalStack takes them apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)

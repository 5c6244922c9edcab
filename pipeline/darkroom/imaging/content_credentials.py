"""Content Credentials: signs a picture with a C2PA manifest, and checks such a manifest. `c2pa-python` is an extra.

C2PA specification 2.2, https://spec.c2pa.org/. The manifest says that a photo was opened and edited, and whether a
generative model made a part of it. It names no file, and holds no thumbnail and nothing of the photo's own manifest,
which may say where it was taken. Nothing is fetched from a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from darkroom.errors import PhotoError, SetupError
from darkroom.imaging.xmp import VOCABULARY, SourceType
from darkroom.resources import install_command
from darkroom.system.files import read_file
from darkroom.system.interrupts import raise_if_interrupted

_MAX_BYTES = 1_000_000  # of a certificate or a key
_OFFLINE = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_UNTRUSTED = "signingCredential.untrusted"
_NOT_ALLOWED = (
    "C2PA does not allow this certificate: it must be for signatures and for a purpose that C2PA knows, such as email "
    "protection, and the certificates that it is signed with must follow it in the file"
)
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """What signs pictures.

    Attributes:
        algorithm: by C2PA's name, such as `es256`.
        certificates: the certificate and those that it is signed with, PEM.
        key: its private key, PEM.
    """

    algorithm: str
    certificates: bytes
    key: bytes

    def sign(self, data: bytes, mime_type: str, photo: bytes, source_type: SourceType) -> bytes:
        """A picture with a signed manifest. Random identifiers make every signature another.

        Args:
            data: a PNG, JPEG, WebP or TIFF file.
            mime_type: of the file.
            photo: the decoded copy of the photo that was edited, PNG.
            source_type: how the picture came about.

        Raises:
            PhotoError: the file cannot hold the manifest.
        """
        try:
            return self._sign(data, mime_type, photo, source_type)
        except Exception as error:  # C2paError in many kinds, from the library's other language
            raise_if_interrupted()
            raise PhotoError(f"cannot be signed: {error}") from None

    def _sign(self, data: bytes, mime_type: str, photo: bytes, source_type: SourceType) -> bytes:
        import c2pa

        info = c2pa.C2paSignerInfo(self.algorithm, self.certificates, self.key, None)
        context = c2pa.Context(c2pa.Settings.from_dict(_OFFLINE))
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(_manifest(source_type), context) as builder:
            builder.add_ingredient({"relationship": "parentOf", "label": "photo"}, "image/png", BytesIO(photo))
            signed = BytesIO()
            builder.sign(signer, mime_type, BytesIO(data), signed)
            return signed.getvalue()


@lru_cache(maxsize=8)
def load_credentials(certificates: str, key: str) -> Credentials:
    """Read a certificate and its key, and sign a test picture with them.

    Args:
        certificates: path of a PEM file: the certificate first, then those that it is signed with.
        key: path of a PEM file with the private key, without a passphrase.

    Raises:
        SetupError: `c2pa-python` is missing, a file cannot be read, or C2PA does not allow this certificate.
    """
    if problem := missing():
        raise SetupError(f"results.c2pa_certificate: {problem}")
    texts = [_read("c2pa_certificate", certificates), _read("c2pa_key", key)]
    private = _private_key(texts[1], key)
    if unfit := _certificate_problem(texts[0], private):
        raise SetupError(f"results.c2pa_certificate: {certificates}: {unfit}")
    credentials = Credentials(_algorithm(private), *texts)
    import numpy as np

    from darkroom.imaging.png import encode_png  # the rest of this module needs no arrays

    sample = encode_png(np.zeros((8, 8, 3), np.uint8))
    try:
        is_valid = manifest_problem(credentials.sign(sample, "image/png", sample, "humanEdits"), "image/png") is None
    except PhotoError:  # in the library's own words
        is_valid = False
    if not is_valid:
        raise SetupError(f"results.c2pa_certificate: {certificates}: {_NOT_ALLOWED}")
    return credentials


def missing() -> str:
    """Why manifests can be neither made nor read here, or an empty text."""
    return "" if find_spec("c2pa") else f"C2PA needs c2pa-python: {install_command('c2pa')}"


def manifest_problem(data: bytes, mime_type: str) -> str | None:
    """Why a picture's manifest does not hold for the picture, in one line; None if it does.

    Whether the certificate is one that others trust is not asked.
    """
    import c2pa

    try:
        context = c2pa.Context(c2pa.Settings.from_dict(_OFFLINE))
        with c2pa.Reader(mime_type, BytesIO(data), context=context) as reader:
            state, found = reader.get_validation_state(), reader.get_validation_results() or {}
    except Exception as error:  # as above; the file may be anything
        raise_if_interrupted()
        return f"its C2PA manifest cannot be read: {error}"
    if state in ("Valid", "Trusted"):
        return None
    codes = [each["code"] for each in found.get("activeManifest", {}).get("failure", ())]
    failures = [code for code in codes if code != _UNTRUSTED]
    return f"its C2PA manifest is not valid: {', '.join(failures) or state}"


def _manifest(source_type: SourceType) -> dict[str, Any]:
    edited: dict[str, Any] = {"action": "c2pa.edited", "digitalSourceType": VOCABULARY + source_type}
    actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["photo"]}}, edited]
    return {
        "claim_generator_info": [{"name": "Darkroom", "version": version("darkroom")}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _read(key: str, path: str) -> bytes:
    try:
        return read_file(Path(path), _MAX_BYTES)
    except (OSError, ValueError) as error:
        raise SetupError(f"results.{key}: {path}: cannot be read: {getattr(error, 'strerror', error)}") from None


def _private_key(data: bytes, path: str) -> Any:
    """A private key of `cryptography`. Raises `SetupError` if there is none."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, None)
    except TypeError:
        problem = "has a passphrase; give a key without one"
    except Exception:  # ValueError, UnsupportedAlgorithm
        raise_if_interrupted()
        problem = "not a private key, as a PEM file without a passphrase"
    raise SetupError(f"results.c2pa_key: {path}: {problem}")


def _certificate_problem(data: bytes, key: Any) -> str | None:
    """Why a private key cannot sign with this certificate today, or None."""
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificates(data)[0]
        is_of_key = certificate.public_key() == key.public_key()
    except Exception:  # ValueError, UnsupportedAlgorithm
        raise_if_interrupted()
        return "not a certificate, as a PEM file"
    if not is_of_key:
        return "its first certificate is of another key than results.c2pa_key"
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= datetime.now(UTC) <= last:
        return f"the certificate is valid from {first.date()} to {last.date()}, not today"
    return None


def _algorithm(found: Any) -> str:
    """C2PA's name for the algorithm of a private key. Raises `SetupError` if it has none for it."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name in _CURVES:
        return _CURVES[found.curve.name]
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(found, rsa.RSAPrivateKey):
        return "ps256"
    raise SetupError("results.c2pa_key: C2PA takes keys for ECDSA (P-256, P-384, P-521), Ed25519 and RSA")

"""What results say of themselves if a user asks: where the photo was taken, how they came about, who signed them."""

from __future__ import annotations

import builtins
import datetime
import importlib.util
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom.imaging import content_credentials
from darkroom.imaging.codec import read_photo
from support.in_process import CliInProcess
from support.photo_files import noise16, png16
from support.runs import journal

c2pa = pytest.importorskip("c2pa")
from cryptography import x509  # noqa: E402  # comes with c2pa-python
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}
MIME = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".tif": "image/tiff"}
PLACE = {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 18.25), 5: b"\0", 6: 34.5, 29: "2026:11:20"}
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/humanEdits"
DRAWN = "  drawn: {op: mask_file, folder: masks}\n"
ERASE, PAINT = "  erase:\n", "  inpaint: {prompt: red desert, steps: 1, strength: 1, seed: 0}\n"


@pytest.fixture
def cli(tmp_path: Path) -> CliInProcess:
    """A photo with a place, one with 16 bits and a place, and one without; recipes with and without a model."""
    exif = Image.Exif()
    exif[0x10F] = "Nikon"
    exif.get_ifd(0x8825).update(PLACE | {8: "satellites", 27: b"ASCII\0\0\0NETWORK"})
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.jpg", exif=exif, quality=95)
    (tmp_path / "photos/b.png").write_bytes(png16(noise16(4), eXIf=exif.tobytes().removeprefix(b"Exif\0\0")))
    Image.fromarray(noise).save(tmp_path / "photos/c.png")
    for name in "abc":
        mask = np.zeros((13, 17), np.uint8)
        mask[5:9, 3:9] = 255
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    for name, stage in (("erase", ERASE), ("paint", PAINT)):
        (tmp_path / f"{name}.yaml").write_text(f"dataset: {{images: photos}}\nstages:\n{DRAWN}{stage}")
    return CliInProcess(tmp_path)


def run(cli: CliInProcess, *words: str) -> tuple[Path, list[dict[str, Any]]]:
    done = cli(*words, "models=miniature")
    assert done.returncode == 0, done.stdout + done.stderr
    return cli.run_folders()[-1], journal(cli.run_folders()[-1])


def place_in(path: Path) -> dict[int, Any]:
    with Image.open(path) as image:
        image.load()
        return dict(image.getexif().get_ifd(0x8825))


def source_type_in(path: Path) -> str | None:
    with Image.open(path) as image:
        image.load()
        packet = image.tag_v2.get(700) if image.format == "TIFF" else image.info.get("xmp")
    found = re.search(rb"<Iptc4xmpExt:DigitalSourceType>([^<]+)<", packet or b"")
    return found[1].decode() if found else None


@pytest.mark.parametrize("format", FORMATS)
def test_results_have_a_place_only_if_asked(format: str, cli: CliInProcess) -> None:
    words = ["recipe=erase.yaml", f"results.format={format}", "results.what=[picture,cutout,background]"]
    folder, lines = run(cli, *words)
    assert not any(place_in(path) for path in folder.rglob("*.*") if path.suffix in MIME)
    folder, lines = run(cli, *words, "results.gps=true")
    for line in lines:
        expected = {} if line["photo"] == "c.png" else {0: b"\2\3\0\0", **PLACE}
        for path in line["outputs"].values():
            assert place_in(folder / path) == expected, path
        assert not place_in(folder / line["result"]) and not place_in(folder / line["source"])
        delivered, result = read_photo(folder / line["delivered"]), read_photo(folder / line["result"])
        assert delivered.metadata == result.metadata
        if format in ("png", "tiff"):
            whole = "pixels" if result.pixels16 is None else "pixels16"
            assert np.array_equal(getattr(delivered, whole), getattr(result, whole))
    assert cli(f"verify={folder}").returncode == 0


@pytest.mark.parametrize("format", FORMATS)
def test_results_disclose_whether_a_model_made_a_part(format: str, cli: CliInProcess) -> None:
    for recipe, expected in (("erase", EDITED), ("paint", GENERATED)):
        words = [f"recipe={recipe}.yaml", f"results.format={format}", "results.what=[picture,mask,cutout,background]"]
        folder, lines = run(cli, *words, "results.disclose=true")
        for line in lines:
            found = {kind: source_type_in(folder / path) for kind, path in line["outputs"].items()}
            assert found == {"picture": expected, "mask": None, "cutout": None, "background": expected}
        assert cli(f"verify={folder}").returncode == 0
    again, _ = run(cli, *words, "results.disclose=true")
    assert {path.name: path.read_bytes() for path in (again / "results").iterdir()} == {
        path.name: path.read_bytes() for path in (folder / "results").iterdir()
    }


def test_a_mask_and_a_kept_photo_disclose_nothing(cli: CliInProcess) -> None:
    folder, lines = run(cli, "recipe=paint.yaml", "until=drawn", "results.disclose=true")
    assert source_type_in(folder / lines[0]["delivered"]) is None
    Image.new("L", (17, 13)).save(cli.folder / "masks/a.png")
    folder, lines = run(cli, "recipe=paint.yaml", "on_empty=keep", "results.disclose=true")
    assert source_type_in(folder / lines[0]["delivered"]) is None
    assert source_type_in(folder / lines[1]["delivered"]) == GENERATED


def test_another_picture_in_place_of_a_result_that_says_more_is_found(cli: CliInProcess) -> None:
    folder, lines = run(cli, "recipe=erase.yaml", "results.gps=true")
    path = folder / lines[0]["delivered"]
    path.chmod(0o600)
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    line = {**lines[0], "files": {**lines[0]["files"], lines[0]["delivered"]: read_photo(path).digest}}
    (folder / "journal.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [line, *lines[1:]]))
    done = cli(f"verify={folder}")
    assert done.returncode == 3 and f"{lines[0]['delivered']}: is not the result, " in done.stdout


def certificate(folder: Path, key: Any, days: int = 9) -> list[str]:
    """Write a certificate for a key, signed by an authority of its own, as C2PA asks for; the words that use it."""
    now, authority = datetime.datetime.now(datetime.UTC), ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
        )

    def signed(subject: str, public: Any, is_authority: bool) -> bytes:
        uses = [not is_authority, False, False, False, False, is_authority, is_authority, False, False]
        builder = x509.CertificateBuilder(name("authority"), name(subject), public, 7 + is_authority)
        builder = builder.not_valid_before(now - datetime.timedelta(days=10))
        builder = builder.not_valid_after(now + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(is_authority, None), True)
        builder = builder.add_extension(x509.KeyUsage(*uses), True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False
        )
        if not is_authority:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    chain = signed("photographer", key.public_key(), False) + signed("authority", authority.public_key(), True)
    (folder / "chain.pem").write_bytes(chain)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return ["results.c2pa_certificate=chain.pem", "results.c2pa_key=key.pem"]


def self_signed(key: Any) -> bytes:
    """A certificate of no authority, and for no purpose."""
    now, name = datetime.datetime.now(datetime.UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "me")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=9)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(autouse=True)
def _no_credentials_of_other_tests() -> None:
    content_credentials.load_credentials.cache_clear()


KEYS = {
    "png": lambda: ec.generate_private_key(ec.SECP256R1()),
    "jpeg": lambda: ed25519.Ed25519PrivateKey.generate(),
    "webp": lambda: rsa.generate_private_key(65537, 2048),
    "tiff": lambda: ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("format", FORMATS)
def test_signed_results_can_be_validated_by_others(format: str, cli: CliInProcess) -> None:
    words = ["recipe=paint.yaml", f"results.format={format}", "results.what=[picture,background,mask]"]
    credentials = certificate(cli.folder, KEYS[format]())
    folder, lines = run(cli, *words, *credentials)
    for line in lines:
        for kind in ("picture", "background"):
            path = folder / line["outputs"][kind]
            with c2pa.Reader(MIME[path.suffix], BytesIO(path.read_bytes())) as reader:
                assert reader.get_validation_state() == "Valid"
                manifest = reader.get_active_manifest()
            (ingredient,) = manifest["ingredients"]
            assert ingredient["relationship"] == "parentOf" and not {"title", "thumbnail"} & set(ingredient)
            assert "thumbnail" not in manifest and manifest["signature_info"]["common_name"] == "photographer"
            (actions,) = [each["data"]["actions"] for each in manifest["assertions"] if "actions" in each["label"]]
            assert [each["action"] for each in actions] == ["c2pa.opened", "c2pa.edited"]
            assert actions[1]["digitalSourceType"] == GENERATED
        assert b"c2pa" not in (folder / line["outputs"]["mask"]).read_bytes()
        assert b"c2pa" not in (folder / line["result"]).read_bytes()
        if format in ("png", "tiff"):
            assert np.array_equal(*(read_photo(folder / line[role]).pixels for role in ("delivered", "result")))
    assert cli(f"verify={folder}").returncode == 0 and cli(f"reproduce={folder}").returncode == 0
    before = (folder / lines[0]["delivered"]).read_bytes()
    assert cli(f"resume={folder}", *credentials).returncode == 0
    assert (folder / lines[0]["delivered"]).read_bytes() == before


@pytest.mark.fault(
    "Run folders",
    "a stranger's run whose record names your key for signatures",
    "resume= signs nothing until you name that certificate and key on the command line",
)
def test_a_resume_signs_only_with_credentials_of_its_command_line(cli: CliInProcess) -> None:
    own = certificate(cli.folder, KEYS["png"]())
    folder, lines = run(cli, "recipe=erase.yaml", *own)
    path = folder / lines[0]["delivered"]
    path.unlink()
    again = f"give them again: results.c2pa_certificate={cli.folder}/chain.pem results.c2pa_key={cli.folder}/key.pem"
    for words in ([], own[:1], [own[0], "results.c2pa_key=other.pem"]):
        done = cli(f"resume={folder}", *words)
        assert done.returncode == 2 and again in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
        assert not path.exists()
    assert cli(f"resume={folder}", *own).returncode == 0 and b"c2pa" in path.read_bytes()
    plain, _ = run(cli, "recipe=erase.yaml")
    done = cli(f"resume={plain}", *own)
    assert done.returncode == 2 and "this run does not sign its pictures" in done.stderr


@pytest.mark.fault(
    "Run folders",
    "a signed result is altered, or replaced by an unsigned one, with a journal to match",
    "verify= names the file and what is wrong with its manifest",
)
@pytest.mark.parametrize("other", ["unsigned", "altered"])
def test_a_signature_that_does_not_hold_is_found(other: str, cli: CliInProcess) -> None:
    folder, lines = run(cli, "recipe=erase.yaml", "results.format=jpeg", *certificate(cli.folder, KEYS["png"]()))
    path = folder / lines[0]["delivered"]
    data = bytearray(path.read_bytes())
    if other == "altered":
        data[-9] ^= 1
    else:
        plain = BytesIO()
        Image.open(BytesIO(data)).save(plain, "JPEG")
        data = bytearray(plain.getvalue())
    path.chmod(0o600)
    path.write_bytes(data)
    line = {**lines[0], "files": {**lines[0]["files"], lines[0]["delivered"]: read_photo(path).digest}}
    (folder / "journal.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [line, *lines[1:]]))
    done = cli(f"verify={folder}")
    found = "is not valid: assertion.dataHash.mismatch" if other == "altered" else "cannot be read: "
    assert done.returncode == 3 and f"{lines[0]['delivered']}: its C2PA manifest {found}" in done.stdout


def test_credentials_that_cannot_sign_are_one_line_before_the_run(cli: CliInProcess) -> None:
    def error(*words: str) -> str:
        content_credentials.load_credentials.cache_clear()
        done = cli("recipe=erase.yaml", *words)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
        assert not (cli.folder / "outputs").exists()
        return done.stderr

    words = certificate(cli.folder, KEYS["png"]())
    assert "results.c2pa_certificate and results.c2pa_key: give both, or neither" in error(words[0])
    assert f"results.c2pa_key: {cli.folder}/none.pem: cannot be read: No such file" in error(
        words[0], "results.c2pa_key=none.pem"
    )
    assert "chain.pem: not a private key, as a PEM file" in error(words[0], "results.c2pa_key=chain.pem")
    assert "key.pem: not a certificate, as a PEM file" in error("results.c2pa_certificate=key.pem", words[1])
    (cli.folder / "cut.pem").write_text((cli.folder / "key.pem").read_text()[:90])
    assert error(words[0], "results.c2pa_key=cut.pem").endswith(
        "not a private key, as a PEM file without a passphrase\n"
    )
    assert ", not today" in error(*certificate(cli.folder, KEYS["png"](), days=-1))
    certificate(cli.folder, KEYS["png"]())
    (cli.folder / "other.pem").write_bytes((cli.folder / "key.pem").read_bytes())
    certificate(cli.folder, KEYS["png"]())
    assert "its first certificate is of another key" in error(words[0], "results.c2pa_key=other.pem")
    (cli.folder / "lone.pem").write_bytes(self_signed(key := KEYS["png"]()))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (cli.folder / "lone_key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    told = error("results.c2pa_certificate=lone.pem", "results.c2pa_key=lone_key.pem")
    assert "lone.pem: C2PA does not allow this certificate: it must be for signatures" in told
    secret = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    (cli.folder / "locked.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *secret))
    assert "locked.pem: has a passphrase" in error(words[0], "results.c2pa_key=locked.pem")


def test_without_the_library_signing_is_refused_and_verify_says_what_it_left_out(
    cli: CliInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = certificate(cli.folder, KEYS["png"]())
    folder, _ = run(cli, "recipe=erase.yaml", *words)
    content_credentials.load_credentials.cache_clear()
    found, imported = importlib.util.find_spec, builtins.__import__
    monkeypatch.setattr(content_credentials, "find_spec", lambda name: None if name == "c2pa" else found(name))
    monkeypatch.setattr(builtins, "__import__", lambda name, *rest: imported("no" * (name == "c2pa") + name, *rest))
    done = cli("recipe=erase.yaml", *words)
    assert done.returncode == 2 and "C2PA needs c2pa-python: pip install" in done.stderr
    done = cli(f"verify={folder}")
    assert done.returncode == 0 and "signatures not checked: C2PA needs c2pa-python: pip install" in done.stdout

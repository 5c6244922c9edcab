"""The wheel, installed where there is no checkout: the command, recipes, weights and examples are all in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv
from pyproject_hooks import quiet_subprocess_runner

from support.runs import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `python -m build` builds it: from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    with DefaultIsolatedEnv() as isolated:  # one for both, where `python -m build` makes one for each
        source = ProjectBuilder.from_isolated_env(isolated, ROOT, quiet_subprocess_runner)
        isolated.install(source.build_system_requires)
        isolated.install(source.get_requires_for_build("sdist") | source.get_requires_for_build("wheel"))
        with tarfile.open(source.build("sdist", folder)) as archive:
            archive.extractall(folder, filter="data")
        (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
        return Path(
            ProjectBuilder.from_isolated_env(isolated, unpacked, quiet_subprocess_runner).build("wheel", folder)
        )


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`darkroom` in a fresh environment, which borrows the other packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python"]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin/darkroom"


def run(command: Path, folder: Path, *words: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([command, *words], cwd=folder, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_what_a_run_needs_and_nothing_else(wheel: Path) -> None:
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert {name.parts[0] for name in names} == {"darkroom", "darkroom-0.2.0.dist-info"}
    inside = {name.relative_to("darkroom").as_posix() for name in names if name.parts[0] == "darkroom"}
    assert {"py.typed", "share/recipes/car_on_mars.yaml", "share/conf/config.yaml", "share/examples/car.png"} <= inside
    assert {f"models/miniature/weights/{file}.safetensors" for file in ("sam/model", "loras/dusk")} <= inside
    assert not [name for name in inside if "classifier" in name or "training" in name or "world" in name]
    folders = {name.partition("/")[0] for name in inside if "/" in name}
    assert folders == {
        path.name for path in (ROOT / "pipeline/darkroom").iterdir() if (path / "__init__.py").is_file()
    } | {"share"}


def test_it_runs_and_reproduces_from_an_empty_folder(command: Path, tmp_path: Path) -> None:
    assert "    darkroom recipe=NAME" in run(command, tmp_path, "--help")
    run(command, tmp_path, "recipe=car_on_mars", "models=miniature", "stages.inpaint.seed=[0,1]")
    (folder,) = (path for path in (tmp_path / "outputs").iterdir() if path.name != ".store")
    pictures = sorted((folder / "results").iterdir())
    assert [path.name for path in pictures] == ["car.seed0.png", "car.seed1.png"]
    assert "1 of 1 pictures identical" in run(command, tmp_path, f"reproduce={pictures[0]}")
    assert "darkroom reproduce=" in (folder / "index.html").read_text()
    run(command, tmp_path, f"verify={folder}")

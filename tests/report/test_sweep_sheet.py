"""The contact sheet of sweeps that are made up here: which run stands where."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from darkroom.errors import RecordError
from darkroom.report import sweep, sweep_sheet
from support.fake_run_folder import GREY, FakeRun, boxes, read, write_sweep

PROMPT, SEED, STRENGTH = "stages.inpaint.prompt", "stages.inpaint.seed", "stages.inpaint.strength"


def colour_of(number: int) -> tuple[int, int, int]:
    return 40 + 8 * number, 250 - 8 * number, 7 * number % 256


def job(folder: Path, number: int, *photos: str, **values: str) -> dict:
    """A run that makes one picture of each photo, in a colour of its own, and what `sweep.json` says of it."""
    run = FakeRun(folder / f"{number}_car_on_mars")
    for place, photo in enumerate(photos):
        source = run.picture(f"{place}/source.png", (9, 99, 199))
        result = run.picture(f"{place}/result.png", colour_of(number + 10 * place))
        run.add(photo, source=source, result=result, prompt="x", seed=0)
    return {"folder": run.write().name, "values": values}


def test_the_longest_axis_is_columns_the_next_rows_and_the_third_makes_tables(tmp_path: Path) -> None:
    axes = {STRENGTH: ["0.5", "1"], PROMPT: ["mars", "snow", "a long road " * 30], SEED: ["0", "1", "2", "3"]}
    ways = list(product(*axes.values()))
    jobs = [job(tmp_path, number, "car.png", **dict(zip(axes, way, strict=True))) for number, way in enumerate(ways)]
    sheet = read(sweep_sheet(write_sweep(tmp_path, axes, jobs)))
    found = [boxes(sheet, colour_of(number)) for number in range(len(ways))]
    columns, rows = [each[0] for each in found], [each[1] for each in found]
    assert columns == columns[:4] * 6
    assert columns[:4] == sorted(set(columns))
    assert rows == sorted(rows)
    assert [rows.count(each) for each in sorted(set(rows))] == [4] * 6
    assert rows[12] - rows[8] > rows[8] - rows[4]  # another table begins


def test_a_single_axis_is_wrapped(tmp_path: Path) -> None:
    seeds = [str(seed) for seed in range(11)]
    jobs = [job(tmp_path, number, "car.png", **{SEED: seed}) for number, seed in enumerate(seeds)]
    sheet = read(sweep_sheet(write_sweep(tmp_path, {SEED: seeds}, jobs)))
    found = [boxes(sheet, colour_of(number)) for number in range(11)]
    assert [each[1] for each in found] == [found[0][1]] * 8 + [found[8][1]] * 3
    assert [each[0] for each in found[8:]] == [each[0] for each in found[:3]]
    assert sheet.shape[1] < 2500


def test_each_photo_has_a_table_and_what_failed_says_so(tmp_path: Path) -> None:
    jobs = [job(tmp_path, number, "car.png", "dog.png", **{SEED: str(number)}) for number in range(3)]
    jobs.append({"folder": "3_car_on_mars", "values": {SEED: "-1"}, "status": "failed", "error": "seed: no " * 60})
    sheet = read(sweep_sheet(write_sweep(tmp_path, {SEED: ["0", "1", "2", "-1"]}, jobs)))
    cars, dogs = ([boxes(sheet, colour_of(number + add)) for number in range(3)] for add in (0, 10))
    assert [each[0] for each in cars] == [each[0] for each in dogs]
    assert max(each[3] for each in cars) < min(each[1] for each in dogs)
    for _, top, right, _ in (cars[2], dogs[2]):
        assert sheet[top + 5, right + 40].tolist() == list(GREY)


def test_a_large_sweep_stays_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MAX_HEIGHT", 3000)
    axes = {SEED: [str(seed) for seed in range(200)], STRENGTH: [str(each / 100) for each in range(100)]}
    some = [job(tmp_path, number, "car.png", "dog.png") for number in range(40)]
    jobs = [{**one, "values": {SEED: seed, STRENGTH: "0.5"}} for one, seed in zip(some, axes[SEED], strict=False)]
    sheet = read(sweep_sheet(write_sweep(tmp_path, axes, jobs)))
    assert 2000 < sheet.shape[0] <= 3000
    assert sheet.shape[1] < 2750


def test_sweeps_without_anything(tmp_path: Path) -> None:
    jobs = [{"folder": "0_x", "values": {}, "status": "running"}]
    assert read(sweep_sheet(write_sweep(tmp_path, {}, jobs))).ndim == 3
    assert read(sweep_sheet(write_sweep(tmp_path, {}, []))).ndim == 3
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(RecordError, match=r"sweep\.json"):
        sweep_sheet(tmp_path)

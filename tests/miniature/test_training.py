"""The training loop: a run that was killed ends with the same bytes as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from darkroom.models.miniature.networks import build_sam
from miniature.networks import SAM_CONFIG
from miniature.train import Workshop, main
from miniature.training.loop import Plan, plain_attention, restore, train
from miniature.training.muon import orthogonal
from miniature.training.sam import attend_fast
from support.runs import ROOT, environment


class Line:
    """Fits a line, with dropout so that torch's random numbers matter too."""

    name = "line"

    def __init__(self, fail_at: int | None = None):
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.fail_at, self.calls = fail_at, 0

    def loss(self, rng: np.random.Generator):
        self.calls += 1
        if self.calls == self.fail_at:
            raise InterruptedError
        x = torch.from_numpy(rng.standard_normal((4, 3))).float()
        return ((self.net(x) - x.sum(1, keepdim=True)) ** 2).mean(), {}


def bytes_of(net: nn.Module) -> bytes:
    return b"".join(weight.detach().numpy().tobytes() for weight in net.state_dict().values())


@pytest.mark.parametrize("average", [0, 5])
@pytest.mark.parametrize("fail_at", [2, 8, 12])
def test_an_interrupted_run_continues_as_if_nothing_had_happened(tmp_path, average, fail_at):
    plan = Plan(steps=20, lr=0.1, warmup=3, average=average, save_every=5, log_every=5)
    whole = Line()
    train(whole, plan, tmp_path / "whole")
    broken = Line(fail_at)
    with pytest.raises(InterruptedError):
        train(broken, plan, tmp_path / "broken")
    again = Line()
    train(again, plan, tmp_path / "broken")
    assert again.calls == 20 - 5 * ((fail_at - 1) // 5)
    assert bytes_of(again.net) == bytes_of(whole.net)
    finished = Line()
    assert restore(finished, tmp_path / "broken") == 20
    assert bytes_of(finished.net) == bytes_of(whole.net)


def test_a_finished_run_is_not_run_again(tmp_path):
    plan = Plan(steps=4, lr=0.1, warmup=1)
    train(Line(), plan, tmp_path)
    again = Line()
    train(again, plan, tmp_path)
    assert again.calls == 0


def test_how_long_to_train_may_be_decided_on_the_way(tmp_path):
    decided = Plan(steps=20, lr=0.1, warmup=3, hold=12, save_every=5)
    whole = Line()
    train(whole, decided, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train(Line(fail_at=12), replace(decided, steps=1000, hold=1000), tmp_path / "on the way")
    later = Line()
    train(later, decided, tmp_path / "on the way")
    assert bytes_of(later.net) == bytes_of(whole.net)


def test_a_finished_training_can_be_given_a_second_descent(tmp_path):
    first = Plan(steps=10, lr=0.1, warmup=3, hold=5, average=5, save_every=5)
    more = replace(first, steps=20, restart=10)
    whole = Line()
    train(whole, more, tmp_path / "whole")
    train(Line(), first, tmp_path / "later")
    later = Line()
    train(later, more, tmp_path / "later")
    assert bytes_of(later.net) == bytes_of(whole.net)
    assert more.rate(9) < 0.02 < 0.04 < more.rate(12) < 0.05
    assert more.rate(19) < 0.01


def test_the_learning_rate_rises_stays_and_falls():
    plan = Plan(steps=100, lr=1.0, warmup=10, hold=50)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[75] == pytest.approx(0.5)
    assert rates[-1] < 0.02


def test_quick_attention_computes_what_it_replaces():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 4, 17, 8)
    torch.testing.assert_close(plain_attention(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_sam_trains_as_the_network_that_segment_anything_runs():
    torch.manual_seed(0)
    sam, image = build_sam(SAM_CONFIG), torch.randn(1, 3, 256, 256)
    for block in sam.image_encoder.blocks:
        nn.init.normal_(block.attn.rel_pos_h)
        nn.init.normal_(block.attn.rel_pos_w)
    with torch.no_grad():
        expected = sam.image_encoder(image)
        attend_fast(sam)
        torch.testing.assert_close(sam.image_encoder(image), expected)


@pytest.mark.parametrize("shape", [(100, 40), (32, 100)])
def test_muon_makes_updates_orthogonal(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
    assert values.min() > 0.6
    assert values.max() < 1.3


@pytest.fixture
def threads_kept():
    """The command sets the number of threads of its process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def words(folder: Path) -> list[str]:
    return ["--smoke", "--only", "sam_crowd", "--only", "sam", "--folder", str(folder)]


@pytest.mark.slow  # the training loop itself is interrupted above
def test_sigkill_in_the_middle_of_training_changes_nothing(tmp_path, threads_kept):
    """The real command, killed after the first checkpoint of its second training, and resumed by another process."""
    main(words(tmp_path / "whole"))
    shutil.copytree(tmp_path / "whole" / "smoke" / "data", tmp_path / "killed" / "smoke" / "data")
    command = [sys.executable, "-m", "miniature.train", *words(tmp_path / "killed")]
    quiet = {"cwd": ROOT, "env": environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen(command, start_new_session=True, **quiet)
    checkpoint = tmp_path / "killed" / "smoke" / "sam_crowd.checkpoint.pt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "killed" / "smoke" / "weights").exists()
    main(words(tmp_path / "killed"))
    weights = Path("smoke", "weights", "sam", "model.safetensors")
    assert (tmp_path / "killed" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
    log = (tmp_path / "killed" / "smoke" / "weights" / "training_log.jsonl").read_text()
    steps = [(line["model"], line["step"]) for line in map(json.loads, log.splitlines()) if "loss" in line]
    assert steps == [(name, step) for name in ("sam", "sam_crowd") for step in (2, 4, 6)]


def test_what_builds_on_a_model_waits_for_its_end(tmp_path):
    """SAM among things that touch goes on from a trained SAM, not from one on its way."""
    workshop = Workshop(tmp_path, smoke=True)
    with pytest.raises(SystemExit, match="sam is trained to step 0 of 6"):
        workshop.train("sam_crowd")
    sam = workshop.task("sam")
    train(sam, replace(workshop.plan("sam"), steps=2), tmp_path)
    with pytest.raises(SystemExit, match="sam is trained to step 2 of 6"):
        workshop.train("sam_crowd")

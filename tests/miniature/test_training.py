"""The training loop: a run that was killed ends with the same bytes as one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.miniature.training.loop import Plan, restore, train

ROOT = Path(__file__).parents[2]


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


def test_the_learning_rate_rises_stays_and_falls():
    plan = Plan(steps=100, lr=1.0, warmup=10, flat=0.5)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == [1.0] * 40
    assert rates[75] == pytest.approx(0.5)
    assert rates[-1] < 0.02


def command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "pipeline.miniature.train", "--smoke", "--only", "sam", "--threads", "1",
            "--folder", str(folder)]  # fmt: skip


def test_sigkill_in_the_middle_of_training_changes_nothing(tmp_path):
    """The real command, killed after its first checkpoint."""
    quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command(tmp_path / "whole"), check=True, **quiet)
    killed = subprocess.Popen(command(tmp_path / "killed"), start_new_session=True, **quiet)
    checkpoint = tmp_path / "killed" / "smoke" / "sam.checkpoint.pt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.005)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "killed" / "smoke" / "weights").exists()
    subprocess.run(command(tmp_path / "killed"), check=True, **quiet)
    weights = Path("smoke", "weights", "sam", "model.safetensors")
    assert (tmp_path / "killed" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()

"""The one training loop: seeded, checkpointed, and continued after a kill as if nothing had happened."""

import ctypes
import json
import math
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from miniature.training.muon import Muon, is_hidden_matrix


@dataclass(frozen=True)
class Plan:
    """How long and how hard to train.

    steps: optimiser steps. lr: peak learning rate. warmup: steps of linear rise. hold: the step at which the cosine
    descent from the peak begins; up to there nothing depends on it or on ``steps``, so both may be decided on the way.
    restart: the step at which the rate, having fallen, rises to half the peak and falls once more (Loshchilov and
    Hutter 2017, SGDR, arXiv:1608.03983), 0 for never; up to there all is as if the plan ended there. decay: weight
    decay. muon: whether hidden matrices are trained by Muon rather than AdamW. average: horizon in steps of the
    exponential moving average of the weights, 0 for none. save_every: steps between checkpoints. log_every: steps
    between lines of the log.
    """

    steps: int
    lr: float
    warmup: int = 100
    hold: int = 0
    restart: int = 0
    decay: float = 0.01
    muon: bool = False
    average: int = 0
    save_every: int = 200
    log_every: int = 50

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if self.restart and step >= self.restart:
            second = replace(self, steps=self.steps - self.restart, lr=self.lr / 2, hold=0, restart=0)
            return second.rate(step - self.restart)
        end = self.restart or self.steps
        after = max(0, step - self.hold) / max(1, end - self.hold)
        return self.lr * min(1, (step + 1) / self.warmup) * max(0.01, 0.5 * (1 + math.cos(math.pi * after)))


class Task(Protocol):
    """What is trained. net: everything with weights, also what only the training needs."""

    name: str
    net: nn.Module

    def loss(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of a fresh batch drawn from ``rng``, and numbers for the log."""


@dataclass
class _State:
    """What a checkpoint holds. average is None when the plan has none."""

    step: int
    cpu_seconds: float
    optimisers: list[torch.optim.Optimizer]
    average: list[Tensor] | None = None
    sums: dict[str, list[float]] = field(default_factory=dict)


def device() -> torch.device:
    """Where to train: the first CUDA device, or the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_freed_memory() -> None:
    """Stops glibc from returning large blocks to the system between steps.

    Training frees and takes back the same buffers all the time; page faults cost a third of the processor
    without this. 1 << 30 bytes is more than any buffer here. Elsewhere than on glibc it does nothing.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


def save_atomically(content, path: Path) -> None:
    """``torch.save`` that leaves either the old file or the new one, never half of it."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _save(path: Path, task: Task, state: _State) -> None:
    content = {
        "step": state.step,
        "cpu_seconds": state.cpu_seconds,
        "net": task.net.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in state.optimisers],
        "average": state.average,
    }
    save_atomically(content, path)


def _load(path: Path, task: Task, state: _State) -> None:
    content = torch.load(path, map_location=device(), weights_only=True)
    task.net.load_state_dict(content["net"])
    for optimiser, saved in zip(state.optimisers, content["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    state.step, state.cpu_seconds, state.average = content["step"], content["cpu_seconds"], content["average"]


def _follow(average: list[Tensor], weights: list[Tensor], horizon: int, step: int) -> None:
    """One step of the moving average; its horizon grows from 10 steps, to forget the random start."""
    torch._foreach_lerp_(average, weights, 1 / min(horizon, 10 + step / 4))


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention over tokens, the last two axes being tokens and features, in the precision of ``q``.

    Every other way there is to compute it on a processor goes through float32 and takes two to four times as long,
    and attention is half of the cost of these models.
    """
    with torch.autocast(q.device.type, enabled=False):
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v


def _quick_sdpa(q: Tensor, k: Tensor, v: Tensor, attn_mask=None, dropout_p=0.0, is_causal=False, **others) -> Tensor:
    """``scaled_dot_product_attention`` by ``plain_attention`` where nothing is masked."""
    if attn_mask is not None or is_causal or dropout_p or others.get("scale") not in (None, q.shape[-1] ** -0.5):
        return _SDPA(q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, is_causal=is_causal, **others)
    return plain_attention(q, k, v)


_SDPA = F.scaled_dot_product_attention


def _attention():
    """While a loss is computed on a processor, transformers and diffusers get the quick attention."""
    quick = mock.patch.object(F, "scaled_dot_product_attention", _quick_sdpa)
    return quick if device().type == "cpu" else nullcontext()


def _step(task: Task, plan: Plan, state: _State, weights: list[Tensor], seed: int) -> dict[str, float]:
    # Every step has its own generators, so a continued run needs no generator state to be the same run.
    rng = np.random.default_rng((seed, state.step))
    torch.manual_seed(int(rng.integers(2**62)))
    for optimiser in state.optimisers:
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(state.step)
    with _attention():
        loss, metrics = task.loss(rng)
        loss.backward()
    nn.utils.clip_grad_norm_(weights, 1.0)
    for optimiser in state.optimisers:
        optimiser.step()
    state.step += 1
    if state.average is not None:
        _follow(state.average, [w.detach() for w in weights], plan.average, state.step)
    return {"loss": float(loss.detach()), **metrics}


def make_optimisers(net: nn.Module, plan: Plan) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest."""
    hidden = {name for name, weight in net.named_parameters() if plan.muon and is_hidden_matrix(name, weight)}
    rest = [weight for name, weight in net.named_parameters() if name not in hidden]
    adam = torch.optim.AdamW(rest, lr=plan.lr, weight_decay=plan.decay, betas=(0.9, 0.98), fused=True)
    if not hidden:
        return [adam]
    matrices = [weight for name, weight in net.named_parameters() if name in hidden]
    return [adam, Muon(matrices, lr=plan.lr, decay=plan.decay)]


def train(task: Task, plan: Plan, folder: Path, seed: int = 0) -> None:
    """Trains ``task.net`` in place for ``plan.steps`` steps; leaves its moving average if the plan has one.

    Keeps ``<name>.checkpoint.pt`` in ``folder`` and continues from it, and writes ``<name>.jsonl`` there, whose first
    line holds the plan and the seed. The result is the same bytes whether or not the run was interrupted (one device,
    one number of threads).
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, log = folder / f"{task.name}.checkpoint.pt", folder / f"{task.name}.jsonl"
    task.net.to(device()).train()
    weights = list(task.net.parameters())
    average = [weight.detach().clone() for weight in weights] if plan.average else None
    state = _State(0, 0.0, make_optimisers(task.net, plan), average)
    if checkpoint.exists():
        _load(checkpoint, task, state)
    _forget_after(log, state.step)
    _log_plan(log, {"model": task.name, "step": state.step, "seed": seed, **asdict(plan)})
    began, spent = time.process_time(), state.cpu_seconds
    bar = tqdm(total=plan.steps, initial=state.step, desc=task.name, unit="step", smoothing=0.05)
    while state.step < plan.steps:
        for key, value in _step(task, plan, state, weights, seed).items():
            state.sums.setdefault(key, []).append(value)
        state.cpu_seconds = spent + time.process_time() - began
        bar.update()
        if state.step % plan.log_every == 0 or state.step == plan.steps:
            _log(log, task.name, plan, state, bar)
        if state.step % plan.save_every == 0 or state.step == plan.steps:
            _save(checkpoint, task, state)
    bar.close()
    _use_average(task, state.average)


def restore(task: Task, folder: Path) -> int:
    """Puts the weights of the latest checkpoint (the average, if any) into ``task.net``; returns its step."""
    checkpoint = folder / f"{task.name}.checkpoint.pt"
    if not checkpoint.exists():
        raise FileNotFoundError(f"{task.name} has not been trained: there is no {checkpoint}")
    content = torch.load(checkpoint, map_location=device(), weights_only=True)
    task.net.to(device()).load_state_dict(content["net"])
    _use_average(task, content["average"])
    return content["step"]


def _use_average(task: Task, average: list[Tensor] | None) -> None:
    if average is not None:
        for weight, mean in zip(task.net.parameters(), average, strict=True):
            weight.data.copy_(mean)
    task.net.eval()


def _forget_after(log: Path, step: int) -> None:
    """Drops the lines of steps that will be run again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= step]
        log.write_text("".join(lines))


def _log_plan(path: Path, plan: dict) -> None:
    """Adds the plan to the log where it is new; a run may be continued by another plan, and the log then says so."""
    earlier = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    defaults = asdict(Plan(steps=0, lr=0))  # of what older lines do not name
    plans = [defaults | line | {"step": plan["step"]} for line in earlier if "seed" in line]
    if not plans or plans[-1] != plan:
        with path.open("a") as file:
            file.write(json.dumps(plan) + "\n")


def _log(path: Path, name: str, plan: Plan, state: _State, bar: tqdm) -> None:
    means = {key: round(float(np.mean(values)), 5) for key, values in state.sums.items()}
    state.sums.clear()
    line = {
        "model": name,
        "step": state.step,
        **means,
        "lr": float(f"{plan.rate(state.step - 1):.3g}"),
        "cpu_seconds": round(state.cpu_seconds, 1),
    }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    bar.set_postfix({key: f"{value:.3g}" for key, value in means.items()})

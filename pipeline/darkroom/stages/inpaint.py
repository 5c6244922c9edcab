"""`inpaint`: repaint the masked area from a prompt, with a diffusion model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from darkroom.imaging.compositing import WorkingCrop, inward_ramp
from darkroom.models.foreign_syntax import Syntax
from darkroom.models.names import MOST_STEPS, SCHEDULERS
from darkroom.models.prompts import Prompt, compel_error, compel_warnings
from darkroom.models.request import InpaintRequest
from darkroom.stages.base import GenerationSummary, Problem, stage
from darkroom.stages.fields import (
    Flag,
    PromptsFile,
    Seeds,
    Steps,
    Texts,
    as_tuple,
    foreign_syntax_warnings,
    scalar,
    truncation_warnings,
)
from darkroom.stages.markers import EachValue, LoraNames, Prose
from darkroom.stages.named_values import SeveralLoras
from darkroom.stages.referenced import Referenced
from darkroom.system.frozen import FrozenDict

if TYPE_CHECKING:
    from darkroom.models import Models


Scheduler = Literal[SCHEDULERS]  # type: ignore[valid-type]  # mypy needs literals; pydantic accepts a tuple


@stage
class Inpaint(Referenced):
    """A crop around the mask is repainted at the model's working size and blended in by the mask.

    Where the mask is 0, nothing changes. The mask stays for later stages. Source: Podell et al., SDXL, 2023
    (arXiv 2307.01952).
    """

    version: ClassVar[int] = 5

    prompt: Annotated[Texts, EachValue(takes_along=True), Prose()] = Field(
        description="What the repainted part should show; each prompt of a list makes a picture."
    )
    prompts_file: PromptsFile = Field(
        None, description="A `.txt` file instead of `prompt`, with one prompt a line; each makes a picture."
    )
    negative_prompt: Annotated[Texts | None, EachValue(), Prose()] = Field(
        None,
        description="What it should not show; each text of a list makes a picture. An empty text is a prompt too, and "
        "differs from `null`.",
    )
    prompt_2: str | None = Field(
        None, description="Prompt for SDXL's second text encoder; `null`: the same as `prompt`."
    )
    negative_prompt_2: str | None = Field(
        None, description="Negative prompt for SDXL's second text encoder; `null`: the same as `negative_prompt`."
    )
    prompt_syntax: Syntax = Field(
        "plain",
        description="`plain`: prompts are plain text, and the model reads the first 75 tokens, about 50 "
        "words. `compel`: prompts may hold weights such as `(red)1.3` and may be longer.",
    )
    seed: Annotated[Seeds, EachValue()] = Field(
        0,
        description="Random seed; each seed of a list makes a picture. Also `random`, or a rule such as `{count: 4}`.",
    )
    steps: Annotated[Steps, EachValue()] = Field(
        30, description="Denoising steps, 1 to 1000; each number of a list makes a picture."
    )
    guidance_scale: float = Field(
        7.5,
        ge=0,
        le=50,
        description="Classifier-free guidance: higher values follow the prompt more strictly; 1 or less "
        "turns it off, and the negative prompt with it.",
    )
    strength: float = Field(
        0.99,
        gt=0,
        le=1,
        description="How much noise replaces the photo: 1 keeps nothing of it. `steps` x `strength` steps run.",
    )
    scheduler: Scheduler = Field("default", description="The sampler; `default` is the checkpoint's own.")
    lora: Annotated[SeveralLoras, EachValue(), LoraNames()] = Field(
        None,
        description="LoRAs by their names in `models.loras`, each with its weight, such as `{sketch: 0.8}`; each "
        "mapping of a list makes a picture.",
    )
    soft_mask: Flag = Field(
        False,
        description="A grey pixel may change only in part (Differential Diffusion). Otherwise every pixel "
        "that is not black is repainted, and greys only blend the result in.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.negative_prompt_2 is not None and self.negative_prompt is None:
            raise ValueError("`negative_prompt_2` needs a `negative_prompt`, which may be empty")
        if int((fewest := min(as_tuple(self.steps))) * self.strength) < 1:
            raise ValueError(f"steps {fewest} x strength {self.strength} runs no step at all; raise one of them")
        if (highest := max(as_tuple(self.steps))) > (most := MOST_STEPS.get(self.scheduler, highest)):
            raise ValueError(f"steps {highest}: the scheduler {self.scheduler} runs {most} steps at most")
        return self

    def summary(self) -> GenerationSummary:
        """See `Stage.summary`."""
        loras = self.loras()
        return GenerationSummary(
            prompt=scalar(self.prompt),
            negative_prompt=scalar(self.negative_prompt),
            seed=scalar(self.seed),
            settings={
                "Steps": self.steps,
                "Sampler": self.scheduler,
                "CFG scale": self.guidance_scale,
                "Seed": self.seed,
                "Denoising strength": self.strength,
                **({"LoRA": ", ".join(f"{name} {one:g}" for name, one in loras.items())} if loras else {}),
            },
        )

    def refusals(self, models: Models) -> Iterator[Problem]:
        """See `Stage.refusals`: what the painter lacks, prompts that compel misreads, or a second prompt without a
        second text encoder.
        """
        if lacking := models.checkpoint_info.unsupported(vars(self)):
            yield from lacking
            return
        yield from super().refusals(models)
        if self.prompt_syntax == "compel":
            for key, text in self._texts().items():
                if problem := compel_error(text):
                    yield key, f"{problem}; in '{text:.80}'"
        for key in [key for key in self._texts() if key.endswith("_2")]:
            if models.checkpoint_info.text_encoders < 2:
                yield key, "this checkpoint has one text encoder; SDXL has two"
        for name in self.loras():
            if problem := models.loras.problem(name):
                yield "lora", problem

    def warnings(self, models: Models) -> Iterator[Problem]:
        """See `Stage.warnings`: prompts that are cut off, have the syntax of another tool, or have no effect."""
        for key, text in self._texts().items():
            yield from foreign_syntax_warnings(key, text, self.prompt_syntax)
            if self.prompt_syntax == "compel":
                yield from ((key, line) for line in compel_warnings(text))
            else:
                compel = ", or let `prompt_syntax: compel` read all of it"
                remedy = f"shorten it{'' if models.checkpoint_info.family.is_flow else compel}"
                yield from truncation_warnings(models, key, text, remedy, encoder=int(key.endswith("_2")))
        if self.negative_prompt and not self.guided:
            yield "negative_prompt", f"has no effect: `guidance_scale` is {self.guidance_scale:g}, and must be above 1"

    @property
    def guided(self) -> bool:
        """Whether each step asks the model twice, with the prompt and with the negative prompt."""
        return self.guidance_scale > 1

    def _texts(self) -> dict[str, str]:
        """The prompts of a scalar stage that are not null, by parameter."""
        given = {key: getattr(self, key) for key in ("prompt", "negative_prompt", "prompt_2", "negative_prompt_2")}
        return {key: text for key, text in given.items() if text is not None}

    def request(self, crop: WorkingCrop, region: int) -> InpaintRequest:
        """See `Repainting.request`."""
        return InpaintRequest(
            image=crop.image,
            mask=crop.mask,
            change_map=crop.change_map if self.soft_mask else None,
            prompt=Prompt(
                scalar(self.prompt),
                scalar(self.negative_prompt) if self.guided else None,
                self.prompt_2,
                self.negative_prompt_2 if self.guided else None,
                self.prompt_syntax,
            ),
            seed=region_seed(scalar(self.seed), region),
            steps=scalar(self.steps),
            guidance_scale=self.guidance_scale,
            strength=self.strength,
            scheduler=self.scheduler,
            controls=self.controls(crop),
            control_end=self.control_end,
            references=crop.references,
            reference_weight=self.reference_weight if crop.references else 0,
            loras=FrozenDict(self.loras()),
        )

    def blend_mask(self, mask: np.ndarray) -> np.ndarray:
        """See `Repainting.blend_mask`. With `soft_mask` the model has already used the greys, so they do not blend
        again.
        """
        return inward_ramp(mask, self.blend or 0) if self.soft_mask else super().blend_mask(mask)

    @classmethod
    def paint(cls, requests: Sequence[Any], models: Models) -> list[np.ndarray]:
        """See `Repainting.paint`."""
        return models.diffusion.inpaint(requests)


def region_seed(seed: int, region: int) -> int:
    """The seed of a region's noise: `seed` itself for the first region, a number derived from it for the others.

    With the same noise, similar crops would get the same picture; with `seed + region`, the picture of another seed.
    """
    return seed if region == 0 else int(np.random.SeedSequence([seed, region]).generate_state(1, np.uint64)[0] >> 1)

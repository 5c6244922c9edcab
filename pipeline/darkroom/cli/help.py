"""The text of `--help`."""

from __future__ import annotations

from collections.abc import Iterable

from darkroom.resources import COMMAND

_HELP = """\
Darkroom: batch photo editing from YAML recipes.

    {command} recipe=NAME [KEY=VALUE ...]       run a recipe
    {command} recipe=my/own.yaml                run a recipe of your own
    {command} recipe=NAME dry_run=true          show what would be computed and what is in the store
    {command} studio dataset.images=photos/     make a recipe with the mouse, in the browser
    {command} -m recipe=NAME stages.inpaint.seed='range(0,8)'
                                                    run a sweep: one run for every value
    {command} recipe=NAME --cfg job             show every parameter and its value, run nothing

    {command} resume=RUN_DIR|latest             finish a run or a sweep that was stopped
    {command} reproduce=RUN_DIR|PICTURE.png     make pictures again and compare them with the recorded ones
    {command} verify=RUN_DIR                    check every file, and that nothing outside the masks changed
    {command} export=coco|imagefolder|webdataset RUN_DIR [to=DIR] [label=item.COLUMN|prompt]
                                                    copy the finished pictures into a data set for training
    {command} store=report|prune                show what the store holds; delete what no run uses

Any parameter can be given on the command line:
    dataset.images=photos/                          a photo, a folder, or a glob such as '"photos/*.jpg"'
    dataset.manifest=photos.csv dataset.images=null a table of photos; recipes use its columns as ${{item.NAME}}
    'stages.inpaint.prompt="a car, (red)"'          quote text with commas or special characters twice
    limit=3   dataset.only='[reds/,"car*"]'          the first photos; some of them; dataset.exclude, all others
    ~stages.invert                                  leave a stage out
    until=refine                                    stop after a stage and show the masks, before any repaint
    models=auto|sdxl|sd15|flux2_klein|z_image|...   which models
    speed=none|lcm4|lightning8|hyper8|tcd4          few steps without guidance, by a LoRA for SDXL
    memory=auto|fast|balanced|low                   low is meant for 8 GB cards
    engine=ray                                      on all GPUs or cores, or on the Ray cluster at RAY_ADDRESS
    device=auto|cpu|cuda|mps   outputs=DIR          where it runs, where the results go
    results.format=png|jpeg|webp|tiff               the file format of the finished pictures
    'results.name=${{folder}}/${{stem}}_${{seed}}'        their names
    strict=true                                     treat warnings about the recipe as errors
    profile=true                                    say where the time goes
    tolerance=N                                     with reproduce=: accept differences up to N of 255, as between
                                                    devices; device=, models.*= and memory.*= work there too

Options: -m (--multirun), --cfg job, -sc (--shell-completion), --version, -h (--help)
Shell completion: eval "$({command} -sc install=bash)"
Exit codes: 0 all done, 2 bad recipe or usage, 3 some photos failed or differ, 4 results cannot be written,
130 interrupted; 1, with a traceback, is a bug in Darkroom.

Recipes:
{recipes}"""


STUDIO_HELP = """\
A page in your browser on which recipes are made; Ctrl-C stops it.

    {command} studio dataset.images=photos/     a new recipe for these photos
    {command} studio recipe=NAME                begin with a recipe, or go on with a draft of it

models=, memory=, device=, results.*= and outputs= work as for a run.
port=8642 host=127.0.0.1                        where the page is; port=0 takes any free port
"""
"""What `studio --help` prints, with a place for the command."""


def help_text(recipes: Iterable[tuple[str, str]]) -> str:
    """What `--help` prints.

    Args:
        recipes: name and first line of every shipped recipe.
    """
    return _HELP.format(command=COMMAND, recipes="\n".join(f"    {name:<16} {line}" for name, line in recipes))

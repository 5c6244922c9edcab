"""Models loaded once, then a loop of plain diffusers calls; with one picture of work, it is one process per picture.

python -m benchmarks.contenders.warm_loop WORK.json
"""

from __future__ import annotations

from benchmarks.contenders.plain import Plain, read_photo
from benchmarks.contenders.work import given_work


def main() -> None:
    """Make all pictures of the work."""
    work = given_work()
    plain = Plain(work)
    for path in work.photos:
        photo = read_photo(path)
        mask = plain.background_of(photo)
        for prompt, seed, ending in work.variants():
            (picture,) = plain.paint(photo, mask, [prompt], [seed], work.steps)
            picture.save(work.file(path, ending))


if __name__ == "__main__":
    main()

"""The warm loop with four pictures in each call of the pipeline.

python -m benchmarks.contenders.batched_loop WORK.json
"""

from __future__ import annotations

from benchmarks.contenders.plain import Plain, read_photo
from benchmarks.contenders.work import given_work

BATCH = 4


def main() -> None:
    """Make all pictures of the work."""
    work = given_work()
    plain = Plain(work)
    for path in work.photos:
        photo = read_photo(path)
        mask = plain.background_of(photo)
        variants = list(work.variants())
        for start in range(0, len(variants), BATCH):
            prompts, seeds, endings = zip(*variants[start : start + BATCH], strict=True)
            pictures = plain.paint(photo, mask, prompts, seeds, work.steps)
            for picture, ending in zip(pictures, endings, strict=True):
                picture.save(work.file(path, ending))


if __name__ == "__main__":
    main()

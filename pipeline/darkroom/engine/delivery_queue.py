"""Pictures on their way to the consumers: prepared by workers in any order, delivered in the order of the plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from darkroom.engine.consumer import ResultSink
from darkroom.engine.graph import StepPath
from darkroom.engine.step_result import StepResult
from darkroom.errors import PhotoError
from darkroom.planning.plan import Step


class Picture:
    """A picture that is finished or has failed.

    Args:
        sink: will get it.
        steps: the path to it, as planned.
        results: see `ResultSink.prepare`.
    """

    def __init__(self, sink: ResultSink, steps: Sequence[Step], results: Sequence[StepResult | PhotoError]) -> None:
        self._sink = sink
        self._steps = steps
        self._results = results
        self._prepared: Any = None
        self.is_prepared = False

    def prepare(self) -> None:
        """Do what takes time; a worker calls this."""
        self._prepared = self._sink.prepare(self._steps, self._results)
        self.is_prepared = True

    def deliver(self) -> None:
        """Give it to its sink."""
        self._sink.deliver(self._prepared)


class PhotoQueue(NamedTuple):
    """The pictures of one photo for one consumer, in the order of the tree.

    Attributes:
        sink: will get them.
        paths: to the pictures that are not finished.
        pictures: that are.
    """

    sink: ResultSink
    paths: deque[StepPath]
    pictures: deque[Picture]

    def finished(self) -> Iterator[Picture]:
        """Take the next pictures that are finished or have failed from `paths` to `pictures`."""
        while self.paths and (results := self.paths[0].results()) is not None:
            self.pictures.append(Picture(self.sink, self.paths.popleft().steps, results))
            yield self.pictures[-1]

    def deliver(self) -> None:
        """Deliver the next pictures that are prepared."""
        delivered = False
        while self.pictures and self.pictures[0].is_prepared:
            self.pictures.popleft().deliver()
            delivered = True
        if delivered:
            self.sink.flush()


class DeliveryQueue:
    """The pictures of all photos that have been begun."""

    def __init__(self) -> None:
        self._photos: deque[Sequence[PhotoQueue]] = deque()

    def __len__(self) -> int:
        """The number of photos with pictures to deliver."""
        return len(self._photos)

    def add(self, photo: Sequence[PhotoQueue]) -> None:
        """Add a photo, with a queue for each consumer."""
        self._photos.append(photo)
        if len(self._photos) == 1:
            self._start()

    def next_picture(self) -> Picture | None:
        """A picture that can be prepared; None if there is none."""
        return next((picture for photo in self._photos for queue in photo for picture in queue.finished()), None)

    def deliver(self) -> None:
        """Deliver what is prepared, photo by photo."""
        while self._photos:
            for queue in self._photos[0]:
                queue.deliver()
            if any(queue.paths or queue.pictures for queue in self._photos[0]):
                return
            self._photos.popleft()
            self._start()

    def _start(self) -> None:
        for queue in self._photos[0] if self._photos else ():
            queue.sink.start()

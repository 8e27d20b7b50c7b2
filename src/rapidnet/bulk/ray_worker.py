"""How does a worker of a Ray cluster open the network that was sent to it, and answer a part at most so many times?"""

from typing import Any

from rapidnet import __version__
from rapidnet.bulk.network import unpack_network
from rapidnet.bulk.parts import Part
from rapidnet.bulk.worker import Worker
from rapidnet.errors import UserError


class RayWorker:
    """shipped: Ray's reference to an `Assignment` and a `Packed` network; tries: the actor that counts how often each
    part was begun; version: of the rapidnet that asks; most: workers that a part may cost."""

    def __init__(self, shipped: Any, tries: Any, version: str, most: int) -> None:
        self.shipped, self.tries, self.version, self.most = shipped, tries, version, most
        self.worker: Worker | None = None

    def answer(self, index: int) -> dict[str, Any]:
        """What a part came to. What a user can mend is a sentence in "stop", for Ray wraps exceptions beyond
        recognition."""
        try:
            part = self._answer(index)
        except UserError as error:
            return {"stop": str(error), "pictures": 0, "unreadable": 0}
        return {"stop": "", "pictures": part.pictures, "unreadable": part.unreadable}

    def _answer(self, index: int) -> Part:
        import ray

        if __version__ != self.version:
            raise UserError(f"a Ray worker has rapidnet {__version__} and this is {self.version}; install the same")
        if self.worker is None:
            assignment, packed = ray.get(self.shipped)
            with unpack_network(packed) as path:
                self.worker = Worker(assignment, path)
        found = self.worker.find(index)
        if found:
            return found
        if ray.get(self.tries.begin.remote(index)) > self.most:
            raise UserError(
                f"part {index} has ended {self.most} workers one after another, so a picture in it may be more "
                "than a process survives; what is answered is kept, and smaller --part-images find the picture"
            )
        return self.worker.answer(index)

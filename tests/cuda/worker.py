"""A worker of tests that says that it is on the GPU it is asked for: the plain product of numpy's absence, one launch a cold sample."""

import array
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "workers"))
from scalemark_worker import Prepared, Refused, asked_device, serve


class Matmul(Prepared):
    def __init__(self, job):
        job.needs(inputs=["f32"], output=["f32"])
        if job.threads != 1:
            raise Refused("a GPU has no threads of this kind")
        self.m, self.n, self.k = (job.sizes[name] for name in "mnk")
        self.a, self.b = (array.array("f", bytes(t.memory[t.offset:t.offset + 4 * t.count])) for t in job.operands.values())
        self.c = array.array("f", bytes(4 * self.m * self.n))
        self.slots, self.allocated = job.slots, 4 * (len(self.a) + len(self.b) + len(self.c))
        self.most_iterations = 1 if job.cache == "cold" else None
        self.driven = f"in {job.slots} sets of buffers"

    def launch(self, slot):
        for i in range(self.m):
            row = self.a[i * self.k:(i + 1) * self.k]
            for j in range(self.n):
                self.c[i * self.n + j] = sum(x * y for x, y in zip(row, self.b[j::self.n]))

    def results(self):
        return {"c": ("f32", (1, self.m, self.n), self.c.tobytes())}


serve("pretended", {"matmul/pretended": Matmul}, {"gpu": "pretended"}, device=asked_device())

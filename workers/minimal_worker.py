"""The whole protocol of README.md in one page, in plain Python: a product in f32, as slow as it gets. A starting point for any language."""

import array
import json
import sys
import time


class Matmul:
    def __init__(self, request):
        product, exchange = request["case"]["problem"]["matmul"], request["exchange"]
        self.m, self.n, self.k = product["m"], product["n"], product["k"]
        self.a, self.b = (read(exchange["operands"]["path"], placed) for placed in exchange["operands"]["tensors"])
        self.c = array.array("f", bytes(4 * self.m * self.n))

    def launch(self):
        n, k, a, b, c = self.n, self.k, self.a, self.b, self.c
        for i in range(self.m):
            row = a[i * k:i * k + k]
            for j in range(n):
                c[i * n + j] = sum(x * y for x, y in zip(row, b[j::n]))

    def time(self, launches):
        """Nanoseconds of so many launches."""
        start = time.perf_counter_ns()
        for _ in range(launches):
            self.launch()
        return time.perf_counter_ns() - start


def read(path, placed):
    count = 1
    for size in placed["shape"]:
        count *= size
    with open(path, "rb") as file:
        file.seek(placed["offset"])
        tensor = array.array("f")
        tensor.fromfile(file, count)
        return tensor


class Worker:
    hello = {"is": "hello", "protocol": 1, "program": "minimal_worker.py", "version": "1", "provider": "minimal",
             "kernels": ["matmul/minimal"]}

    def __init__(self):
        self.held = {}

    def prepare(self, request):
        case = request["case"]
        product = case["problem"].get("matmul")
        if not product or product["transpose"] != "nn" or product["batch"] != 1 or product["groups"]:
            return {"is": "refused", "reason": "multiplies two matrices as they lie, and does nothing else"}
        if case["precision"]["inputs"] != "f32" or case["threads"] != 1 or case["cache"] != "warm":
            return {"is": "refused", "reason": "computes f32 on one thread with warm caches"}
        kernel = Matmul(request)
        kernel.launch()
        placed, = request["exchange"]["results"]["tensors"]
        with open(request["exchange"]["results"]["path"], "r+b") as file:
            file.seek(placed["offset"])
            file.write(kernel.c.tobytes())
        self.held[request["handle"]] = kernel
        return {"is": "ready", "launch_ns": kernel.time(1), "allocated": 4 * (len(kernel.a) + len(kernel.b) + len(kernel.c)),
                "slots": 1, "results": [{"role": "c", "dtype": "f32", "shape": [1, kernel.m, kernel.n]}]}

    def sample(self, request):
        kernel, launches = self.held[request["handle"]], request["iterations"]
        samples = [{"wall_ns": kernel.time(launches), "iterations": launches} for _ in range(request["count"])]
        return {"is": "samples", "samples": samples}

    def release(self, request):
        self.held.pop(request["handle"], None)
        return {"is": "released", "peak_resident": None}

    def say(self, reply):
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()

    def serve(self):
        self.say(self.hello)
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "exit":
                break
            self.say(getattr(self, request["do"])(request))


if __name__ == "__main__":
    Worker().serve()

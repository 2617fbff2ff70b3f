"""The minimal worker with one fault, named by the first argument; the second is a file by which processes know that they are not the first."""

import json
import os
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "workers"))
from minimal_worker import Worker  # noqa: E402


def killed(worker):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(worker):
    time.sleep(1000)


def exits(worker):
    sys.exit("no more of this")


def garbage(worker):
    worker.say_text("Segmentation fault? No, only a progress bar: 42 %\n")


def endless(worker):
    worker.say_text("x" * (5 << 20))
    time.sleep(1000)


def memory(worker):
    resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
    bytearray(1 << 30)


def out_of_turn(worker):
    worker.say({"is": "samples", "samples": []})
    time.sleep(1000)


def talks(worker):
    for _ in range(200):
        os.write(2, b"\xff" * 50_000)
    os.write(2, b"\n")


class Bad(Worker):
    fault, mark = sys.argv[1], sys.argv[2]
    hello = {**Worker.hello, "provider": "bad", "kernels": ["matmul/bad"]}

    def say_text(self, text):
        sys.stdout.write(text)
        sys.stdout.flush()

    def prepare(self, request):
        with open(self.mark + ".requests", "a") as log:
            log.write(self.line)
        if self.fault in ("killed", "hangs", "exits", "garbage", "endless", "memory", "out_of_turn", "talks"):
            globals()[self.fault](self)
        reply = super().prepare(request)
        path = request["exchange"]["results"]["path"]
        if self.fault == "shape":
            reply["results"][0]["shape"].reverse()
        elif self.fault == "dtype":
            reply["results"][0]["dtype"] = "bf16"
        elif self.fault == "cut":
            os.truncate(path, 8)
        elif self.fault in ("nan", "wrong"):
            with open(path, "r+b") as file:
                file.seek(4)
                file.write(b"\x00\x00\xc0\x7f" if self.fault == "nan" else b"\x00\x00\x00\x47")
        elif self.fault == "nothing":
            with open(path, "r+b") as file:
                file.write(b"\x00\x00\xc0\x7f" * (os.path.getsize(path) // 4))
        elif self.fault == "no_time":
            reply["launch_ns"] = 0
        elif self.fault == "own_check":
            check = {"full": True, "deviation": 0.0, "tolerance": 1.0}
            return {"is": "prepared", "check": check, "launch_ns": 100.0, "allocated": 1, "slots": 1}
        return reply

    def sample(self, request):
        if self.fault.startswith("later_"):
            globals()[self.fault.removeprefix("later_")](self)
        reply = super().sample(request)
        if self.fault == "few":
            reply["samples"].pop()
        elif self.fault == "zero":
            reply["samples"][0]["wall_ns"] = 0
        elif self.fault == "long":
            reply["samples"][0]["wall_ns"] = 10**15
        elif self.fault == "share":
            reply["samples"][0]["core_share"] = -1.0
        return reply

    def serve(self):
        if self.fault == "protocol" and os.path.exists(self.mark):
            self.hello = {**self.hello, "protocol": 7}
        open(self.mark, "a").close()
        self.say(self.hello)
        for self.line in sys.stdin:
            request = json.loads(self.line)
            if request["do"] == "exit":
                break
            try:
                reply = getattr(self, request["do"])(request)
            except MemoryError:
                reply = {"is": "failed", "reason": "out of memory"}
            self.say(reply)


Bad().serve()

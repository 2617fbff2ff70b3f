"""What workers in Python share: the protocol of README.md, the clock, and threads. Standard library only.

A worker gives `serve` its provider's name, its kernels as {name: function}, and facts about its library. A kernel's function takes a
`Job` and returns a `Prepared`, or raises `Refused`.
"""

import contextlib
import ctypes
import gc
import json
import mmap
import os
import platform
import sys
import time

VERSION = 1
MOST_WARM_UPS = 6
LAUNCHES_A_RESET = 64
WARM_UP_NS = 2_000_000
# A sample waits so long for a moment in which its core is its own, which it is from this share on: as scalemark's own kernels do.
PATIENCE_NS = 5_000_000
OWN = 0.8


class Refused(Exception):
    """The kernel declines the case; the text says why."""


class Tensor:
    """An operand: role, dtype, shape, and its bytes in memory shared with the run."""

    def __init__(self, placed, memory):
        self.role, self.dtype, self.shape = placed["role"], placed["dtype"], tuple(placed["shape"])
        self.in_out, self.offset = placed.get("in_out", False), placed.get("offset", 0)
        self.count = 1
        for size in self.shape:
            self.count *= size
        self.memory = memory


class Job:
    """A case for a kernel: sizes, operands by role, and how to run."""

    def __init__(self, request):
        self.kernel, case, exchange = request["kernel"], request["case"], request["exchange"]
        (self.op, self.sizes), = case["problem"].items()
        self.precision, self.what = case["precision"], case["pass"]
        self.threads, self.cache, self.slots = case["threads"], case["cache"], exchange["slots"]
        self.hyper, self.asked = exchange.get("hyper"), exchange["results"]
        with open(exchange["operands"]["path"], "rb") as file:
            empty = os.fstat(file.fileno()).st_size == 0
            memory = b"" if empty else mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.operands = {t["role"]: Tensor(t, memory) for t in exchange["operands"]["tensors"]}

    def needs(self, **wanted):
        """Refuses where inputs, accumulate, output or state are not among the names given."""
        for part, names in wanted.items():
            if self.precision[part] not in names:
                raise Refused(f"takes {part} in {', '.join(map(str, names))}, not {self.precision[part]}")


class Prepared:
    """A kernel with its buffers. Subclasses give `launch` and `results`; the rest has defaults."""

    slots = 1
    allocated = 0
    # Whether launches change operands, which `reset` then restores.
    in_place = False
    # Launches that a sample can have at most; None: any number.
    most_iterations = None
    # How a library is driven for this very case, in words, where there was a choice.
    driven = None

    def launch(self, slot):
        """Runs once on buffer set `slot`, and returns when it is done (or, with a `time` of its own, enqueued)."""
        raise NotImplementedError

    def results(self):
        """What the last launch on set 0 left: {role: (dtype, shape, object with the bytes)}."""
        raise NotImplementedError

    def reset(self):
        """Restores operands that are updated in place."""

    def context(self):
        """What launches run within, entered outside the clock."""
        return contextlib.nullcontext()

    def time(self, launches, first_slot):
        """Wall time of so many launches one after another, in nanoseconds."""
        launch, slots = self.launch, self.slots
        start = time.perf_counter_ns()
        for slot in range(first_slot, first_slot + launches):
            launch(slot % slots)
        return time.perf_counter_ns() - start


class Held:
    def __init__(self, prepared):
        self.prepared, self.slot, self.reset_at, self.shortest = prepared, 0, 0, float("inf")

    def run(self, launches):
        """Nanoseconds of so many launches, the shortest of which is remembered."""
        took = self.prepared.time(launches, self.slot)
        self.slot += launches
        self.shortest = min(self.shortest, took / launches)
        return took

    def rough(self):
        """Launches until the time of one is known."""
        total = 0
        for launches in range(1, 17):
            took = self.run(1)
            total += took
            if (total >= WARM_UP_NS and launches >= 2) or took >= 50 * WARM_UP_NS:
                break
        return max(self.shortest, 1)

    def warm_up(self):
        """Launches until one is as short as any, or no shorter than the one before: what others left in the caches is gone."""
        before = float("inf")
        for _ in range(MOST_WARM_UPS):
            shortest = self.shortest
            took = self.run(1)
            if took >= 3e7 or took <= 1.03 * shortest or took * 1.03 > before:
                break
            before = took


def run_queue_ns():
    """How long this process's threads have waited for a processor; None where the system does not say."""
    try:
        total = 0
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[1])
        return total
    except (OSError, IndexError, ValueError):
        return None


def pin(threads):
    """Keeps every thread of this process on as many processors as the case has threads."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cpus = set(sorted(ALLOWED)[:threads])
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(int(task), cpus)


ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class Core:
    """Whether the calling thread has its core to itself: what rate a burst of no-operations has of the best rate so far.

    Where another virtual machine runs on the core's other hardware thread, it halves, and nothing else shows it. On x86-64; elsewhere,
    and where memory may not be made executable, shares are None.
    """

    ROUNDS = 3_000
    # mov rax, rdi; 24 times nop; dec rax; jnz to the first of them; ret
    CODE = b"\x48\x89\xf8" + b"\x90" * 24 + b"\x48\xff\xc8\x75\xe3\xc3"

    def __init__(self):
        self.best, self.burst = 0.0, None
        if platform.machine().lower() not in ("x86_64", "amd64") or not hasattr(mmap, "PROT_EXEC"):
            return
        with contextlib.suppress(OSError, ValueError):
            self.memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            self.memory.write(self.CODE)
            address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
            self.burst = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(address)

    def share(self):
        """In (0, 1], or None; takes some 10 to 30 µs."""
        if self.burst is None:
            return None
        start = time.perf_counter_ns()
        self.burst(self.ROUNDS)
        rate = 1 / max(time.perf_counter_ns() - start, 1)
        self.best = max(self.best, rate)
        return rate / self.best

    def wait(self):
        """The share of the first moment that is its own, or of the last that patience allowed."""
        start = time.perf_counter_ns()
        while True:
            share = self.share()
            if share is None or share >= OWN or time.perf_counter_ns() - start >= PATIENCE_NS:
                return share


class Nvml:
    """What NVML says of one GPU: clock, power, temperature, and what holds the clock down. Nothing where NVML is missing."""

    # As NVML's bits, in the words of the run's records.
    REASONS = ("idle", "locked", "power", "hardware", "sync-boost", "thermal", "hardware-thermal", "power-brake", "display")

    def __init__(self, uuid, library=None):
        self.gpu, self.calls = None, library
        handle = ctypes.c_void_p()
        with contextlib.suppress(OSError, AttributeError):
            self.calls = library or ctypes.CDLL("libnvidia-ml.so.1")
            name = ctypes.c_char_p(f"GPU-{uuid.removeprefix('GPU-')}".encode())
            if self.calls.nvmlInit_v2() == 0 and self.calls.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) == 0:
                self.gpu = handle

    def ask(self, function, *options, kind=ctypes.c_uint):
        """A number, or None."""
        value = kind()
        with contextlib.suppress(AttributeError):
            if getattr(self.calls, function)(self.gpu, *options, ctypes.byref(value)) == 0:
                return value.value
        return None

    def reading(self):
        """The fields of a sample's `gpu`, without those that this GPU does not tell; None where there are none."""
        if self.gpu is None:
            return None
        told = {"sm_mhz": self.ask("nvmlDeviceGetClockInfo", 1), "power_mw": self.ask("nvmlDeviceGetPowerUsage"),
                "temperature_c": self.ask("nvmlDeviceGetTemperature", 0)}
        bits = self.ask("nvmlDeviceGetCurrentClocksThrottleReasons", kind=ctypes.c_ulonglong)
        if bits is not None:
            words = [word for bit, word in enumerate(self.REASONS) if bits >> bit & 1]
            unknown = bits >> len(self.REASONS) << len(self.REASONS)
            told["throttle"] = "+".join(words + [hex(unknown)] * (unknown != 0)) or "none"
        return {name: value for name, value in told.items() if value is not None} or None


def reset_resident_peak():
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def resident_peak():
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


class Worker:
    def __init__(self, kernels, set_threads, free, device, uuid):
        self.kernels, self.set_threads, self.free, self.held = kernels, set_threads, free, {}
        # A GPU's own clock does not see what the host waits for.
        self.core = Core() if device == "cpu" else None
        self.nvml = Nvml(uuid) if uuid else None

    def answer(self, request):
        try:
            return getattr(self, request["do"])(request)
        except Refused as reason:
            return {"is": "refused", "reason": str(reason)}
        except Exception as error:
            text = " ".join(str(error).split())[:500]
            return {"is": "failed", "reason": f"{type(error).__name__}: {text}"}

    def prepare(self, request):
        if request["kernel"] not in self.kernels:
            raise Refused(f"this worker has no kernel {request['kernel']}")
        if "exchange" not in request:
            raise ValueError("the request has no exchange: this worker is an external program")
        job = Job(request)
        reset_resident_peak()
        self.set_threads(job.threads)
        start = time.perf_counter_ns()
        prepared = self.kernels[request["kernel"]](job)
        took = time.perf_counter_ns() - start
        held = Held(prepared)
        with prepared.context():
            held.run(1)
            # Threads that the library has started by now are pinned as well.
            pin(job.threads)
            said = write_results(job.asked, prepared.results())
            held.shortest = float("inf")
            launch_ns = held.rough()
        self.held[request["handle"]] = (held, job.threads)
        ready = {"is": "ready", "launch_ns": launch_ns, "allocated": prepared.allocated, "slots": prepared.slots,
                 "results": said, "counters": {"prepare_ns": float(took)}}
        told = {"most_iterations": prepared.most_iterations, "driven": prepared.driven}
        return ready | {name: value for name, value in told.items() if value is not None}

    def sample(self, request):
        (held, threads), launches, count = self.held[request["handle"]], request["iterations"], request["count"]
        prepared = held.prepared
        self.set_threads(threads)
        pin(threads)
        coming = launches * count + MOST_WARM_UPS
        samples = []
        with prepared.context():
            if prepared.in_place and held.slot - held.reset_at + coming > LAUNCHES_A_RESET:
                prepared.reset()
                held.reset_at = held.slot
            held.warm_up()
            for _ in range(count):
                samples.append(self.on_cpu(held, launches) if self.core else self.on_gpu(held, launches))
        return {"is": "samples", "samples": samples}

    def on_cpu(self, held, launches):
        """A sample with what its threads waited for and had of their core."""
        share = self.core.wait()
        cpu, waited = time.process_time_ns(), run_queue_ns()
        sample = wall(held, launches)
        cpu, after = time.process_time_ns() - cpu, run_queue_ns()
        sample["cpu_ns"] = cpu
        if waited is not None and after is not None:
            sample["run_queue_ns"] = max(after - waited, 0)
        if share is not None:
            sample["core_share"] = min(share, self.core.share())
        return sample

    def on_gpu(self, held, launches):
        """A sample with what NVML says of the GPU right after it."""
        sample = wall(held, launches)
        reading = self.nvml.reading() if self.nvml else None
        return sample | ({"gpu": reading} if reading else {})

    def release(self, request):
        peak = resident_peak()
        self.held.pop(request["handle"], None)
        gc.collect()
        self.free()
        return {"is": "released", "peak_resident": peak}


def wall(held, launches):
    return {"wall_ns": max(int(held.run(launches)), 1), "iterations": launches}


def asked_device():
    """Where the run wants launches to be: `cpu`, or a GPU as `cuda:0`."""
    return os.environ.get("SCALEMARK_DEVICE", "cpu")


def write_results(asked, results):
    """Writes results where they are asked for; says what they are, so that the run can tell a misunderstanding."""
    said = []
    with open(asked["path"], "r+b") as file:
        for placed in asked["tensors"]:
            dtype, shape, data = results[placed["role"]]
            file.seek(placed["offset"])
            file.write(data)
            said.append({"role": placed["role"], "dtype": dtype, "shape": list(shape)})
    return said


def serve(provider, kernels, libraries, set_threads=lambda threads: None, device="cpu", free=lambda: None, uuid=None):
    """Greets, and answers requests until standard input ends or an exit is asked for.

    `device` is where launches run, `cpu` or `cuda:N`; `asked_device` has what the run asks for. `free` gives back what a library keeps of a
    kernel that was freed. `uuid` is of that GPU: NVML is asked about it beside each sample.
    """
    asked = os.environ.get("SCALEMARK_PROTOCOL", str(VERSION))
    if asked != str(VERSION):
        sys.exit(f"this worker speaks protocol {VERSION}, not {asked}")
    # What a library prints must not get between the replies.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # No collection inside the clock: it happens when a kernel is freed.
    gc.disable()

    def say(reply):
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    say({"is": "hello", "protocol": VERSION, "program": f"{provider}_worker.py", "version": platform.python_version(),
         "provider": provider, "kernels": sorted(kernels), "device": device, "libraries": libraries})
    worker = Worker(kernels, set_threads, free, device, uuid)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "exit":
            break
        say(worker.answer(request))

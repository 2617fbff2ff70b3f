#!/usr/bin/env python3
"""Puts the same recordings through scalemark and through the tools that people use, and counts what each says.

    scripts/peers.py RECORDING.csv.gz [--out results/proof] [--work target/peers] [--only pairs,series,live]

RECORDING has the columns run,kernel,sample,iterations,time_ns: samples of criterion of one binary, process by process, so
that nothing changed. A change is made by multiplying times. Needed are cargo; scalemark (built here, unless
SCALEMARK names it); critcmp, hyperfine and cargo-bench-history on the PATH; and for this
Python scipy, apache-otava and asv. A tool that is not there is an error: nothing is left out in silence.

pairs   run 1 against run 2, 3 against 4, …: criterion (its own analysis of replayed samples), critcmp, a Mann-Whitney test as
        benchstat makes it; scalemark's gate on rounds of three runs
series  56 runs in a row are a history: Otava, asv, cargo-bench-history, scalemark track
live    a program of known work against one with more, measured now: tango, hyperfine, scalemark's gate

Writes peers.csv: tool, version, how it was asked, task, change in percent, trials, how many of them were called changed,
called slower, and (series) placed within one commit.
"""

import argparse
import collections
import csv
import datetime
import gzip
import hashlib
import itertools
import json
import math
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SLOWER = [0, 2, 5]
"""Percent that the head of a pair takes longer."""
STEPS = [0, 5, 10, 30]
"""Percent that a history takes longer from its 47th commit on."""
LENGTH, AT = 56, 46


def call(command, **options):
    """What a command prints; one that fails says why."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode not in (0, 1, 3):
        sys.exit(f"{command[0]} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def samples(path):
    """run -> kernel -> times of an iteration, in ns."""
    runs = collections.defaultdict(lambda: collections.defaultdict(list))
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            time = int(row["time_ns"]) / int(row["iterations"])
            runs[int(row["run"])][row["kernel"]].append(time)
    return [runs[run] for run in sorted(runs)]


class Table:
    """The rows of peers.csv."""

    def __init__(self, path):
        self.path, self.rows = path, []
        if path.is_file():
            with open(path) as file:
                self.rows = list(csv.DictReader(file))

    def add(self, tool, version, how, task, change, trials, changed, slower, placed=""):
        """Replaces the row of the same tool, question, task and change; each is written at once."""
        row = dict(tool=tool, version=version, how=how, task=task, change_percent=str(change), trials=str(trials),
                   called_changed=str(changed), called_slower=str(slower), placed_within_one=str(placed))
        key = ("tool", "how", "task", "change_percent")
        self.rows = [old for old in self.rows if any(old[k] != row[k] for k in key)] + [row]
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        print(*row.values(), sep=" | ", flush=True)


def replay(work, benches, arguments):
    """Criterion's judgement of samples by benchmark."""
    path = work / "replay.csv"
    with open(path, "w") as file:
        file.write("bench,ns\n")
        for name, times in benches.items():
            file.writelines(f"{name},{time}\n" for time in times)
    environment = dict(os.environ, REPLAY=str(path), CARGO_TARGET_DIR=str(work / "replay-target"), WORK="5000")
    return call(["cargo", "bench", "--quiet", "--bench", "replay", "--", "--noplot", *arguments],
                cwd=HERE / "peers", env=environment)


def pairs(runs, work, table, tools):
    from scipy import __version__ as scipy_version
    from scipy.stats import mannwhitneyu

    couples = list(zip(runs[0::2], runs[1::2]))
    kernels = sorted(runs[0])
    named = [(f"p{i:02}-{kernel}", base[kernel], head[kernel])
             for i, (base, head) in enumerate(couples) for kernel in kernels]
    shutil.rmtree(work / "replay-target/criterion", ignore_errors=True)
    replay(work, {name: base for name, base, _ in named}, ["--save-baseline", "base"])
    for change in SLOWER:
        slow = lambda times: [time * (1 + change / 100) for time in times]
        text = replay(work, {name: slow(head) for name, _, head in named}, ["--baseline", "base"])
        worse, better = text.count("Performance has regressed"), text.count("Performance has improved")
        same = text.count("No change in performance") + text.count("Change within noise threshold")
        if worse + better + same != len(named):
            sys.exit(f"criterion judged {worse + better + same} of {len(named)} benchmarks")
        table.add("criterion", "0.8.2", "defaults", "pairs", change, len(named), worse + better, worse)
        # What critcmp reads is what criterion wrote last.
        for threshold in (2, 5):
            text = call([tools["critcmp"], "base", "new", "--target-dir", work / "replay-target", "-t", threshold])
            found = [line for line in text.splitlines() if re.match(r"p\d\d-", line.strip())]
            slower = sum(1 for line in found if re.split(r"\s{2,}", line.strip())[1].startswith("1.00"))
            table.add("critcmp", tools["critcmp_version"], f"-t {threshold}", "pairs", change, len(named), len(found), slower)
        tests = [(mannwhitneyu(base, slow(head)).pvalue, statistics.median(slow(head)) > statistics.median(base))
                 for _, base, head in named]
        found = [up for p, up in tests if p < 0.05]
        table.add("Mann-Whitney test as benchstat's (scipy)", scipy_version, "alpha 0.05", "pairs", change, len(named),
                  len(found), sum(found))
    gate(runs, kernels, work, table, tools)


def gate(runs, kernels, work, table, tools):
    """200 gates of 32 rounds: runs in threes, of which a coin says who is base, head and twin. They share runs."""
    coin = random.Random(1)
    level = lambda times: statistics.quantiles(times, n=20, method="inclusive")[0]
    threes = [runs[i:i + 3] for i in range(0, len(runs) - 2, 3)]
    for change in SLOWER:
        verdicts = collections.Counter()
        for _ in range(200):
            path = work / "levels.csv"
            with open(path, "w") as file:
                file.write("round,kernel,base,head,twin\n")
                for number, three in enumerate(sorted(coin.sample(range(len(threes)), 32))):
                    base, head, twin = coin.sample(threes[three], 3)
                    for kernel in kernels:
                        slow = level(head[kernel]) * (1 + change / 100)
                        file.write(f"{number},{kernel},{level(base[kernel])},{slow},{level(twin[kernel])}\n")
            rows = csv.DictReader(call([tools["scalemark"], "prove", "levels", path]).splitlines())
            verdicts.update(row["verdict"] for row in rows)
        trials = sum(verdicts.values())
        table.add("scalemark gate", tools["scalemark_version"], "rounds of three runs, at most 32", "pairs", change, trials,
                  verdicts["slower"] + verdicts["faster"] + verdicts["unfit"], verdicts["slower"])


def histories(runs, change, beside):
    """(name, values, others): what a kernel takes in 56 runs in a row, slower from the 47th on; and what the other kernels do.

    A run's value is the lower quartile of its samples. With `beside`, it is over what the others took in the same run (their
    median, each over its own)."""
    quartile = lambda times: statistics.quantiles(times, n=4, method="inclusive")[0]
    for start in range(0, len(runs) - LENGTH + 1, LENGTH):
        window = runs[start:start + LENGTH]
        points = {kernel: [quartile(run[kernel]) for run in window] for kernel in sorted(runs[0])}
        for kernel, values in points.items():
            slow = [v * (1 + change / 100) if i >= AT else v for i, v in enumerate(values)]
            others = {name: v for name, v in points.items() if name != kernel}
            if beside:
                usual = {name: statistics.median(v) for name, v in others.items()}
                mode = [statistics.median(v[i] / usual[name] for name, v in others.items()) for i in range(LENGTH)]
                slow = [v / m for v, m in zip(slow, mode)]
            yield f"{start:03}-{kernel}", slow, others


def count(table, tool, version, how, task, change, found):
    """`found`: of each history the places of steps up, and of steps down."""
    changed = sum(1 for up, down in found if up or down)
    slower = sum(1 for up, _ in found if up)
    placed = sum(1 for up, _ in found if any(abs(at - AT) <= 1 for at in up)) if change else ""
    table.add(tool, version, how, task, change, len(found), changed, slower, placed)


def series(runs, work, table, tools):
    import asv
    from asv.step_detect import detect_regressions, detect_steps

    tasks = [(False, "series as recorded"), (True, "series over the other kernels")]
    for change, (beside, task) in itertools.product(STEPS, tasks):
        all_of_them = list(histories(runs, change, beside))
        for how, options in [("defaults", []), ("-P 0.00001", ["-P", "0.00001"])]:
            found = otava(all_of_them, work, tools, options)
            count(table, "Apache Otava", tools["otava_version"], how, task, change, found)
        found = bench_history(all_of_them, runs, work, tools)
        count(table, "cargo-bench-history", tools["cargo-bench-history_version"], "defaults", task, change, found)
        steps, regressions = [], []
        for _, values, _ in all_of_them:
            parts = detect_steps(values)
            places = [(after[0], after[2] > before[2]) for before, after in zip(parts, parts[1:])]
            steps.append(tuple([at for at, up in places if up == wanted] for wanted in (True, False)))
            positions = detect_regressions(parts, threshold=0.05)[2] or []
            regressions.append(([position[1] for position in positions], []))
        count(table, "asv", asv.__version__, "any step", task, change, steps)
        count(table, "asv", asv.__version__, "regressions of 5 % (its default)", task, change, regressions)
        found = [track(history, [], work, tools) for history in all_of_them]
        count(table, "scalemark track", tools["scalemark_version"], "--raw", task, change, found)
        if not beside:
            found = [track(history, list(history[2]), work, tools) for history in all_of_them]
            count(table, "scalemark track", tools["scalemark_version"], "the other kernels as canaries", task, change, found)


def otava(all_of_them, work, tools, options):
    path, config = work / "otava.csv", work / "otava.yaml"
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    names = [name for name, _, _ in all_of_them]
    with open(path, "w") as file:
        file.write(",".join(["time", "commit", *names]) + "\n")
        for i in range(LENGTH):
            time = (start + datetime.timedelta(hours=i)).strftime("%Y-%m-%d %H:%M:%S +0000")
            file.write(",".join([time, f"c{i:02}", *(str(values[i]) for _, values, _ in all_of_them)]) + "\n")
    # JSON is YAML, and a time is better where it is less.
    metrics = {name: {"column": name, "direction": -1} for name in names}
    test = {"type": "csv", "file": str(path), "time_column": "time", "attributes": ["commit"], "metrics": metrics}
    config.write_text(json.dumps({"tests": {"t": test}}))
    output = call([tools["otava"], "analyze", "t", "--since", "2025-12-31", "--output", "json", *options],
                  env=dict(os.environ, OTAVA_CONFIG=str(config)))
    found = {name: ([], []) for name in names}
    for point in json.loads(output[output.index("{"):])["t"]:
        for step in point["changes"]:
            is_up = float(step["mean_after"]) > float(step["mean_before"])
            found[step["metric"]][0 if is_up else 1].append(step["index"])
    return [found[name] for name in names]


def bench_history(all_of_them, runs, work, tools):
    """The places of regressions and improvements that it finds where each commit's benchmark replays the samples of a run."""
    store, repository, samples = work / "bench-history", work / "bench-history-repository", work / "replay.csv"
    for folder in (store, repository):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE / "peers", repository, ignore=shutil.ignore_patterns("target"))
    (repository / ".cargo").mkdir()
    (repository / ".cargo/bench_history.toml").write_text('[project]\nid = "peers"\n')
    environment = dict(os.environ, REPLAY=str(samples), CARGO_TARGET_DIR=str(work / "replay-target"), WORK="5000")
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "peers", f"GIT_{who}_EMAIL": "peers@example.org"}
    here = dict(cwd=repository, env=environment)
    call(["git", "init", "--quiet", "--initial-branch", "main"], **here)
    call(["git", "add", "--all"], **here)
    tool, commits = [tools["cargo-bench-history"], "bench-history"], []
    for i in range(LENGTH):
        date = (datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=i)).isoformat() + "+00:00"
        environment |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        call(["git", "commit", "--quiet", "--allow-empty", "--message", f"c{i}"], **here)
        commits.append(call(["git", "rev-parse", "HEAD"], **here).strip())
        with open(samples, "w") as file:
            file.write("bench,ns\n")
            for name, values, _ in all_of_them:
                start, kernel = name.split("-", 1)
                times = runs[int(start) + i][kernel]
                factor = values[i] / statistics.quantiles(times, n=4, method="inclusive")[0]
                file.writelines(f"{name},{time * factor}\n" for time in times)
        # The estimate of a benchmark is what is stored; its interval, which resampling makes, is not.
        call([*tool, "collect", f"--local={store}", "--bench", "replay", "--", "--noplot", "--nresamples", "1001"], **here)
    report = work / "bench-history.json"
    call([*tool, "analyze", f"--local={store}", "--since", "2025-12-31", "--no-text", "--json", report], **here)
    found = {name: ([], []) for name, _, _ in all_of_them}
    for finding in json.loads(report.read_text())["findings"]:
        found[finding["segments"][0]][finding["direction"] != "regression"].append(commits.index(finding["commit"]))
    return [found[name] for name, _, _ in all_of_them]


def track(history, canaries, work, tools):
    """The places of steps up and down that scalemark finds, with the other kernels as canaries or as they are."""
    name, values, others = history
    folder, file = work / "history", work / "import.json"
    shutil.rmtree(folder, ignore_errors=True)
    measured = {name: values, **{other: others[other] for other in canaries}}
    for i in range(LENGTH):
        date = (datetime.datetime(2026, 1, 1) + datetime.timedelta(hours=i)).isoformat() + "+00:00"
        rows = [{"name": kernel, "run_name": kernel, "run_type": "iteration", "real_time": v[i], "time_unit": "ns"}
                for kernel, v in measured.items()]
        file.write_text(json.dumps({"context": {"date": date}, "benchmarks": rows}))
        call([tools["scalemark"], "track", "import", "google-benchmark", file, "--history", folder, "--commit", hashlib.sha1(bytes([i])).hexdigest(),
              "--fingerprint", "recorded", *(part for canary in canaries for part in ("--canary", canary))], cwd=work)
    raw = [] if canaries else ["--raw"]
    report = json.loads(call([tools["scalemark"], "track", "check", "--history", folder, "--json", "-", *raw], cwd=work))
    judged = next(series for series in report["series"] if series["kernel"] == name)
    if judged["unjudged"]:
        sys.exit(f"scalemark did not judge {name}: {judged['unjudged']}")
    up = [finding["at"] for finding in judged["findings"] if finding["ratio"] > 1]
    return up, [finding["at"] for finding in judged["findings"] if finding["ratio"] <= 1]


def live(work, table, tools, trials):
    """A program of known work against one with more, `trials` times each."""
    crate, target = HERE / "peers", work / "replay-target"
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), WORK="5000")
    call(["cargo", "build", "--release", "--bin", "peers"], cwd=crate, env=environment)
    program, steps = target / "release/peers", 50_000_000
    benches = {}
    for change in SLOWER:
        environment["WORK"] = str(5000 + 50 * change)
        said = call(["cargo", "bench", "--no-run", "--bench", "tango", "--message-format", "json"], cwd=crate, env=environment)
        built = [json.loads(line) for line in said.splitlines()]
        path = next(m["executable"] for m in built if m.get("target", {}).get("name") == "tango" and m.get("executable"))
        benches[change] = work / f"tango-{change}"
        shutil.copy(path, benches[change])
    twin = work / "tango-twin"
    shutil.copy(benches[0], twin)
    for change in SLOWER:
        command, slow = f"{program} {steps}", f"{program} {steps * (100 + change) // 100}"
        said, found = [], []
        for _ in range(trials):
            # What runs is the base, as its signs have it; what it loads is the head.
            said.append(call([benches[0], "compare", benches[change] if change else twin]))
            found.append(hyperfine(command, slow if change else command + " ", work, tools))
        marked = [line for text in said for line in text.splitlines() if line.rstrip().endswith("*")]
        if any("%" not in text for text in said):
            sys.exit(f"tango compared nothing: {said[0]}")
        slower = sum(1 for line in marked if "+" in line.rsplit("]", 1)[1])
        table.add("tango", "0.9.0", "compare", "live", change, trials, len(marked), slower)
        table.add("hyperfine", tools["hyperfine_version"], "-N; a ratio beyond its plus or minus", "live", change, trials,
                  sum(1 for verdict in found if verdict), found.count("slower"))
        verdicts = collections.Counter()
        for _ in range(trials):
            report = json.loads(call([tools["scalemark"], "gate", "pair", "--command", "--base", command, "--head", slow,
                                      "--out", work / "gate", "--json", "-"], cwd=work))
            # Of CPU time, where the gate found that the program computes all the time.
            verdicts.update(f["verdict"] for f in report["findings"] if f["metric"] in ("time", "CPU time"))
        table.add("scalemark gate", tools["scalemark_version"], "--command", "live", change, sum(verdicts.values()),
                  verdicts["slower"] + verdicts["faster"] + verdicts["unfit"], verdicts["slower"])


def hyperfine(base, head, work, tools):
    """What hyperfine prints of two commands, as a verdict: the ratio of means, where it is beyond its plus or minus."""
    file = work / "hyperfine.json"
    call([tools["hyperfine"], "-N", "--export-json", file, base, head])
    base, head = json.loads(file.read_text())["results"]
    ratio = head["mean"] / base["mean"]
    plus_minus = ratio * math.hypot(base["stddev"] / base["mean"], head["stddev"] / head["mean"])
    if abs(ratio - 1) <= plus_minus:
        return ""
    return "slower" if ratio > 1 else "faster"


def version(command):
    return re.search(r"\d+\.\d+[.\d]*", call(command)).group()


def find_tools(only):
    """Where each tool lies and what version it is; an error where one is not there."""
    root = HERE.parent
    tools = {"scalemark": os.environ.get("SCALEMARK")}
    if not tools["scalemark"]:
        call(["cargo", "build", "--release", "--bin", "scalemark"], cwd=root)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
        tools["scalemark"] = target / "release/scalemark"
    tools["scalemark"] = str(pathlib.Path(tools["scalemark"]).resolve())
    tools["scalemark_version"] = version([tools["scalemark"], "--version"])
    wanted = {"pairs": ["critcmp"], "series": ["otava", "cargo-bench-history"], "live": ["hyperfine"]}
    beside = pathlib.Path(sys.executable).parent
    for task in only:
        for name in wanted[task]:
            path = shutil.which(name) or shutil.which(name, path=beside)
            if not path:
                sys.exit(f"{name} is not on the PATH; install it, or leave out {task} by --only")
            tools[name] = path
    for name in {"critcmp", "hyperfine"} & set(tools):
        tools[f"{name}_version"] = version([tools[name], "--version"])
    if "cargo-bench-history" in tools:
        # It does not say itself.
        installed = call(["cargo", "install", "--list", "--root", pathlib.Path(tools["cargo-bench-history"]).parent.parent])
        tools["cargo-bench-history_version"] = re.search(r"cargo-bench-history v([\d.]+)", installed).group(1)
    if "otava" in tools:
        import importlib.metadata

        tools["otava_version"] = importlib.metadata.version("apache-otava")
    return tools


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "results/proof")
    parser.add_argument("--work", type=pathlib.Path, default=HERE.parent / "target/peers")
    parser.add_argument("--only", default="pairs,series,live", help="tasks, e.g. series")
    parser.add_argument("--trials", type=int, default=30, help="of each tool and change, live")
    options = parser.parse_args()
    only = options.only.split(",")
    if not set(only) <= {"pairs", "series", "live"}:
        parser.error(f"--only {options.only}: tasks are pairs, series and live")
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    tools, runs = find_tools(only), samples(options.recording)
    table = Table(options.out.resolve() / "peers.csv")
    if "pairs" in only:
        pairs(runs, work, table, tools)
    if "series" in only:
        series(runs, work, table, tools)
    if "live" in only:
        live(work, table, tools, options.trials)


if __name__ == "__main__":
    main()

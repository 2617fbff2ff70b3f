#!/usr/bin/env python3
"""Prints the measured tables of docs/claims.md from a run of results/cases/claims.csv:

    scripts/claims.py results/runs/RUN [scalemark]
"""

import json
import math
import pathlib
import subprocess
import sys
import tempfile

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "tests/fixtures/configs"
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)


def plan(model, *options):
    """One training plan on one thread of the run's machine."""
    command = [PROGRAM, "plan", "--model", model, "--mode", "train", "--run", RUN, "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def layers(model, size):
    """Seconds of one sequence in all layers, forward and backward: products, attention, assumed streams; and what was measured of it."""
    seconds = {"products": 0.0, "attention": 0.0, "streams": 0.0}
    for line in plan(model, "--batch", "1", "--seq", str(size))["training"][0]["lines"]:
        if line["phase"] == "update" or line["count"] != 12:
            continue
        if line["case"] and line["basis"] != "measured":
            sys.exit(f"error: {line['case']} was not measured by this run")
        part = "streams" if not line["case"] else "attention" if line["name"] == "attention" else "products"
        seconds[part] += line["seconds"]["median"]
    return seconds


def by_size(name, positions):
    """A table of a model's layers by the length of its sequences, whatever positions its checkpoint has learned."""
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    config[positions] = max(SIZES)
    print("| tokens | ms a token | products | attention | its share | a sequence grows as | attention grows as |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    before = None
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        for size in SIZES:
            parts = layers(file.name, size)
            total = sum(parts.values())
            power = attention = ""
            if before:
                power = f"{math.log2(total / sum(before.values())):.2f}"
                attention = f"{math.log2(parts['attention'] / before['attention']):.2f}"
            a_token = lambda seconds: f"{1e3 * seconds / size:.2f}"
            share = 100 * parts["attention"] / total
            print(f"| {size} | {a_token(total)} | {a_token(parts['products'])} | {a_token(parts['attention'])} | {share:.1f} % | {power} | {attention} |")
            before = parts
    print()


# What was published: model, as whom, tokens by the length of their sequences, devices, hours.
BERT = {128: 0.9e6 * 256 * 128, 512: 0.1e6 * 256 * 512}  # a million batches of 256, a tenth of them in full length
PUBLISHED = (
    ("bert-base", "BERT-base, 2018: 16 TPU chips, 4 days (Devlin et al., appendix A.2)", BERT, 16, 96.0),
    ("bert-large", "BERT-large, 2018: 64 TPU chips, 4 days (the same)", BERT, 64, 96.0),
    ("gpt3-175b", "GPT-3, 2020: 1024 A100, 34 days (estimated by Narayanan et al. 2021, section 5.1)", {2048: 300e9}, 1024, 34 * 24.0),
    ("llama-3-8b", "Llama 3 8B, 2024: 1.3 million hours of H100 (model card)", {8192: 15e12}, 1, 1.3e6),
    ("llama-3-70b", "Llama 3 70B, 2024: 6.4 million hours of H100 (model card)", {8192: 15e12}, 1, 6.4e6),
    ("llama-3.1-405b", "Llama 3.1 405B, 2024: 30.84 million hours of H100 (model card)", {8192: 15.6e12}, 1, 30.84e6),
)


def operations(model, tokens):
    """Operations of a training by PaLM's count: 6·N + 12·L·H·Q·T a token, as `scalemark plan` counts them."""
    total = 0.0
    for size, count in tokens.items():
        totals = plan(model, "--seq", str(size), "--batch", "1")["training"][1]
        total += count * totals["model_flops_utilization"]["median"] * totals["peak"] / totals["tokens_per_second"]["median"]
    return total


def here(model, tokens):
    """Days of a training on one thread of the run's machine, by the middle and both ends; batches are of 256 sequences."""
    sums = [0.0, 0.0, 0.0]
    for size, count in tokens.items():
        options = ("--seq", str(size), "--batch", "256", "--micro-batch", "1", "--tokens", str(int(count)))
        step, totals = plan(model, *options)["training"]
        if step["missing"] or any(line["basis"] not in ("measured", "assumed") for line in step["lines"]):
            sys.exit(f"error: not every kernel of {model} was measured by this run at {size} tokens")
        for i, end in enumerate(("median", "low", "high")):
            sums[i] += totals["seconds"][end] / 86400
    return sums


def then():
    """Published trainings: their operations, and what each of their devices did a second."""
    print("| published | operations | device-hours | Tflop/s a device |")
    print("|---|--:|--:|--:|")
    for model, words, tokens, devices, hours in PUBLISHED:
        work = operations(model, tokens)
        print(f"| {words} | {work:.2g} | {devices * hours:,.0f} | {work / (devices * hours * 3600) / 1e12:.3g} |")
    print()


def now():
    """Trainings on one thread of the run's machine."""
    print("| on one thread of the measured machine | years | 95 % |")
    print("|---|--:|---|")
    for model, words, tokens in (
        ("bert-base", "BERT-base as published", BERT),
        ("gpt2", "GPT-2 (124M) on 10 · 10⁹ tokens in sequences of 1024", {1024: 10e9}),
    ):
        median, low, high = (days / 365.25 for days in here(model, tokens))
        print(f"| {words} | {median:.2f} | {low:.2f} – {high:.2f} |")
    print()


if len(sys.argv) < 2:
    sys.exit(__doc__)
RUN, PROGRAM = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "target/release/scalemark"
print("BERT-base\n")
by_size("bert-base", "max_position_embeddings")
print("GPT-2\n")
by_size("gpt2", "n_positions")
then()
now()

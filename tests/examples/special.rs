//! The examples that do not run as they stand, with the reason, and the exit codes that are fine.

/// What is done in place of running an example as it stands.
pub enum Way {
    /// It runs with these options more.
    With(&'static str),
    /// It runs behind another command line.
    Behind(&'static str),
    /// It is only parsed.
    Parsed,
}

/// An example that does not run as it stands.
pub struct Special {
    /// The example.
    pub line: &'static str,
    /// What is done.
    pub way: Way,
    /// Why.
    pub why: &'static str,
}

const fn with(line: &'static str, more: &'static str, why: &'static str) -> Special {
    Special { line, way: Way::With(more), why }
}

const fn parsed(line: &'static str, why: &'static str) -> Special {
    Special { line, way: Way::Parsed, why }
}

/// An example that would measure for a minute or more.
const fn dry(line: &'static str) -> Special {
    with(line, "--dry-run", "measures for minutes")
}

/// Options that make a gate small.
const FEW: &str = "-m 32 --kernel matmul/simd --dtype f32 --threads 1 --max-pairs 8";

/// They.
pub const SPECIAL: &[Special] = &[
    dry("scalemark run"),
    dry("scalemark run --suite standard --op attention"),
    dry("scalemark run --model llama-3-8b --dtype bf16"),
    dry("scalemark run --model llama-3-8b --dtype bf16 --pass fwd,decode"),
    dry("scalemark run --model path/to/config.json --seq 2048"),
    dry("scalemark run -m 256..4096 --kernel 'matmul/*'"),
    dry("scalemark run -m 256..4096 --kernel 'matmul/*' --threads 1,2 --precision 1%"),
    dry("scalemark run --seq 512..8192 --head-dim 128 --causal false"),
    dry("scalemark run --device cuda"),
    with(
        "scalemark run -m 512 -n 768,3072 -k 3072,768 --zip",
        "--kernel matmul/simd --dtype f32 --threads 1 --budget 1s --processes 1 --no-peaks",
        "measures for a minute",
    ),
    with(
        "scalemark run --op attention --baselines torch",
        "--seq 32 --head-dim 16 --dtype f32 --threads 1 --budget 50ms --processes 2 --no-peaks",
        "measures for a minute",
    ),
    with(
        "scalemark run --worker 'python3 mine.py'",
        "-m 32 --dtype f32 --threads 1 --budget 50ms --processes 2 --no-peaks",
        "measures for minutes",
    ),
    with("scalemark run --device sim", "-m 32 --kernel matmul/tiled", "simulates for minutes"),
    Special {
        line: "scalemark run --resume results/runs/RUN",
        way: Way::Behind(
            "rm -r results/runs/RUN; timeout --preserve-status -s INT 1 scalemark run -m 24,32,40,48 --kernel matmul/naive --budget 600ms \
             --precision 0.01% --dtype f32 --threads 1 --no-peaks --out results/runs/RUN; test $? = 130",
        ),
        why: "a run that was interrupted, on this very machine",
    },
    with("scalemark verify", "-m 1,17 --dtype f32", "checks for minutes"),
    with(
        "scalemark verify --suite quick",
        "--op attention --dtype f32 --threads 1 --kernel attention/simd",
        "checks for a minute",
    ),
    with("scalemark verify --baselines torch", "-m 17 --dtype f32", "checks for minutes"),
    with("scalemark verify --device sim", "-m 17 --dtype f32", "simulates for minutes"),
    with("scalemark gate pair --base old/scalemark --head new/scalemark", FEW, "takes minutes"),
    with(
        "scalemark gate pair --base old/scalemark -m 64..1024 --max-pairs 64",
        "--kernel matmul/simd --dtype f32 --threads 1 --budget 2s",
        "takes minutes",
    ),
    with(
        "scalemark gate pair --base old/scalemark --head old/scalemark --slow-head 2",
        FEW,
        "takes minutes",
    ),
    with(
        "scalemark gate pair --command --base 'old/app in.txt' --head 'new/app in.txt'",
        "--max-pairs 8",
        "takes a minute",
    ),
    parsed("scalemark gate pair --base-ref main", BUILDS),
    parsed("scalemark gate pair --base-ref main --device sim", BUILDS),
    parsed(
        "scalemark gate pair --base-ref main --markdown summary.md --junit gate.xml --github",
        BUILDS,
    ),
    parsed("scalemark gate pair --criterion --bench mine --base-ref main", BUILDS),
    parsed("scalemark prove simulate", "simulates for many minutes"),
    parsed("scalemark prove history", "simulates for many minutes"),
    parsed("scalemark prove machine", "measures for hours"),
    parsed("scalemark prove machine --decisions 40 --load 0 -- -m 64..256", "measures for an hour"),
    parsed(
        "scalemark prove machine --head other/scalemark --name link-order",
        "measures for hours",
    ),
    parsed("scalemark prove slowdown", "builds the crate, and measures for hours"),
    parsed(
        "scalemark prove slowdown --extra 2 --decisions 50",
        "builds the crate, and measures for an hour",
    ),
    parsed("scalemark prove layer --run results/runs/RUN", LAYER),
    parsed("scalemark prove layer --run RUN", LAYER),
];

const BUILDS: &str = "builds two commits";
const LAYER: &str = "needs a run of this very machine that takes minutes, and a minute more";

/// The exit codes that a command may end with here: 3 where it needs a GPU that is not there, where no machine meets a deadline, and where a
/// gate of few pairs stays undecided; 1 where that is slowed on purpose; 2, with an error that names it, where valgrind is missing.
pub fn codes(line: &str) -> &'static [i32] {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if line.contains("--instructions") && !is_there("valgrind") {
        return &[2];
    }
    match line.starts_with("scalemark gate pair") {
        true if has(&["--slow-head"]) => &[0, 1, 3],
        true => &[0, 3],
        false if has(&["--device cuda", "scalemark conform", "--deadline"]) => &[0, 3],
        false => &[0],
    }
}

/// Whether a program can be started.
fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

//! `scalemark prove layer`: does a plan predict a transformer layer that is run end to end?

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::super::interrupt;
use crate::device::CpuDevice;
use crate::device::memory::keep_large_blocks;
use crate::error::Error;
use crate::layer::{Lap, Layer, Shape};
use crate::models::{self, Biases, LmHead, Model};
use crate::ops::{Cache, Precision, Regime};
use crate::projection::shard::Stage;
use crate::projection::step::{Line, Span, of_stage};
use crate::projection::{Basis, Choice, Setup, Source, Times};
use crate::store::Run;

/// Options of `prove layer`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  scalemark prove layer --run results/runs/RUN")]
pub struct Args {
    /// The run that plans are made from; it must not hold the layers' own cases
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// Layers as BATCHxSEQxHIDDENxHEADS
    #[arg(long, value_delimiter = ',', default_value = "1x512x768x12,3x320x576x9,1x896x1152x18")]
    shape: Vec<Sizes>,
    /// How long each layer's step is repeated
    #[arg(long, default_value = "6s", value_parser = humantime::parse_duration, value_name = "TIME")]
    budget: Duration,
    /// How far a prediction may be off
    #[arg(long, default_value_t = 0.15, value_name = "SHARE")]
    tolerance: f64,
    /// File to write the comparison to, as Markdown
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A shape on the command line.
#[derive(Debug, Clone, Copy)]
struct Sizes(Shape);

impl FromStr for Sizes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<usize> = text.split('x').map_while(|n| n.trim().parse().ok()).collect();
        let [batch, seq, hidden, heads] = numbers[..] else {
            return Err(format!(
                "`{text}` is no layer; write BATCHxSEQxHIDDENxHEADS, such as 1x512x768x12"
            ));
        };
        if text.split('x').count() != 4 || numbers.iter().any(|&n| n == 0 || n > 1 << 20) {
            return Err(format!("`{text}`: sizes are 1 to {}", 1 << 20));
        }
        if !hidden.is_multiple_of(heads) {
            return Err(format!("`{text}`: {heads} heads do not divide a width of {hidden}"));
        }
        Ok(Sizes(Shape { batch, seq, hidden, heads }))
    }
}

/// Plans each layer from the run, runs it, and compares.
///
/// # Errors
/// When the run cannot be read or lacks cases, or a kernel breaks.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    interrupt::catch();
    let run = Run::read(&args.run)?;
    let source = Source::from(&run);
    let choice = Choice {
        device: Some("cpu".to_owned()),
        threads: Some(1),
        cache: Some(Cache::Warm),
        regime: Some(Regime::Burst),
        kernels: vec![glob::Pattern::new("*/simd").context("a pattern")?],
    };
    let times = Times::of(source, &choice)?;
    // All plans before any measurement: nothing that is measured here can find its way into them.
    let plans = args.shape.iter().map(|s| plan(&s.0, &times)).collect::<Result<Vec<_>, _>>()?;
    let device = || CpuDevice::detect(true);
    keep_large_blocks(device().capabilities.memory);
    let mut text = format!(
        "# A layer as planned and as run\n\nPlanned from `{}` before it was run; f32, one thread, forward, backward and \
         AdamW. Milliseconds; the interval is the plan's.\n\n",
        source.name
    );
    let mut worst = 0f64;
    for (Sizes(shape), lines) in args.shape.iter().zip(plans) {
        if interrupt::is_asked() {
            return Ok(interrupt::exit_code());
        }
        let laps = measure(Layer::new(*shape, device(), 1)?, args.budget)?;
        let (section, error) = compare(shape, &lines, &laps);
        text += &section;
        worst = worst.max(error.abs());
    }
    let held = worst <= args.tolerance;
    let _ = writeln!(
        text,
        "The furthest prediction is {:.1} % off; {:.0} % were promised.",
        100.0 * worst,
        100.0 * args.tolerance
    );
    if let Some(path) = &args.out {
        std::fs::write(path, &text).map_err(Error::io("write", path))?;
    }
    super::super::show(&text)?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The lines of a plan of one layer, alone: neither embedding nor head.
fn plan(shape: &Shape, times: &Times) -> anyhow::Result<Vec<Line>> {
    let Shape { batch, seq, hidden, heads } = *shape;
    let model = Model {
        name: format!("layer-{batch}x{seq}x{hidden}x{heads}"),
        layers: 1,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        head_dim_v: hidden / heads,
        ffn: shape.ffn(),
        vocab: 1,
        context: 1 << 20,
        lm_head: LmHead::None,
        biases: Biases::default(),
        ..models::find("gpt2")?.clone()
    };
    let setup =
        Setup { batch, micro_batch: batch, seq, ..Setup::new(model.clone(), Precision::F32) };
    let params = 12 * (hidden * hidden) as u64 + 2 * hidden as u64;
    let stage = Stage { model, index: 0, first: false, last: false, params };
    let lines = of_stage(&setup, &stage, times);
    if let Some(line) = lines.iter().find(|line| line.seconds.is_none()) {
        bail!(
            "the run does not tell the time of {} {} ({}); `{}` measures it",
            line.phase.name(),
            line.name,
            line.case.clone().unwrap_or_default(),
            line.command.clone().unwrap_or_default()
        );
    }
    // An update is one launch a tensor in the layer, and never the plan's own case.
    if let Some(line) = lines.iter().find(|line| line.basis == Basis::Measured) {
        bail!(
            "the run holds {} of the layer {batch}x{seq}x{hidden}x{heads}: a plan that looks a time up proves nothing; choose \
             other --shape",
            line.case.clone().unwrap_or_default()
        );
    }
    Ok(lines)
}

/// The typical step, lap by lap: each the median of the faster half of the steps, as records are.
fn measure(mut layer: Layer, budget: Duration) -> anyhow::Result<Vec<Lap>> {
    for _ in 0..2 {
        layer.step()?;
    }
    let mut steps: Vec<(f64, Vec<Lap>)> = Vec::new();
    let began = Instant::now();
    while (began.elapsed() < budget || steps.len() < 5) && !interrupt::is_asked() {
        layer.step()?;
        steps.push((layer.laps.iter().map(|lap| lap.ns).sum(), layer.laps.clone()));
    }
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = steps.len().div_ceil(2) / 2;
    let (_, laps) = steps.into_iter().nth(middle).context("a step")?;
    Ok(laps)
}

/// A table of one layer, and by how much the plan of its step is off.
fn compare(shape: &Shape, lines: &[Line], laps: &[Lap]) -> (String, f64) {
    let Shape { batch, seq, hidden, heads } = shape;
    let mut text = format!(
        "## {batch} × {seq} tokens, width {hidden}, {heads} heads\n\n| pass | part | planned | interval | measured | planned / measured |\n|---|---|--:|--:|--:|--:|\n"
    );
    let mut row = |phase: &str, name: &str, planned: Span, measured: f64| {
        let ms = |s: f64| format!("{:.2}", 1e3 * s);
        let _ = writeln!(
            text,
            "| {phase} | {name} | {} | {} – {} | {} | {:.3} |",
            ms(planned.median),
            ms(planned.low),
            ms(planned.high),
            ms(measured),
            planned.median / measured
        );
    };
    let mut total = (Span::default(), 0.0);
    for lap in laps {
        let mine = |line: &&Line| {
            let name = if line.case.is_some() { line.name } else { "streams" };
            line.phase.name() == lap.phase && name == lap.name
        };
        let spans = lines.iter().filter(mine).filter_map(|line| line.seconds);
        let planned = spans.fold(Span::default(), Span::plus);
        row(lap.phase, lap.name, planned, lap.ns / 1e9);
        total = (total.0.plus(planned), total.1 + lap.ns / 1e9);
    }
    row("step", "all", total.0, total.1);
    text.push('\n');
    (text, total.0.median / total.1 - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_four_sizes_and_heads_divide_the_width() {
        let Sizes(shape) = "1x512x768x12".parse().unwrap();
        assert_eq!((shape.tokens(), shape.ffn(), shape.head_dim()), (512, 3072, 64));
        for bad in [
            "",
            "1x2x3",
            "1x2x3x4x5",
            "0x1x8x2",
            "1x2x9x2",
            "axbxcxd",
            "1x2x8x99999999999999999999",
        ] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_comparison_has_every_lap_and_the_error_of_the_sum() {
        let shape = Shape { batch: 1, seq: 8, hidden: 16, heads: 2 };
        let lap = |name, phase, ns| Lap { name, phase, ns };
        let laps = [lap("qkv", "forward", 2e6), lap("streams", "forward", 1e6)];
        let line = |name, case: Option<&str>, seconds| Line {
            phase: crate::projection::work::Phase::Forward,
            name,
            count: 1.0,
            case: case.map(str::to_owned),
            basis: Basis::Interpolated,
            kernel: None,
            note: String::new(),
            seconds: Some(Span { median: seconds, low: 0.9 * seconds, high: 1.1 * seconds }),
            flops: 0.0,
            bytes: 0.0,
            joules: None,
            command: None,
            missing: None,
        };
        let lines = [
            line("qkv", Some("key"), 2e-3),
            line("norms", None, 5e-4),
            line("residuals", None, 8e-4),
        ];
        let (text, error) = compare(&shape, &lines, &laps);
        assert!(
            text.contains("| forward | streams | 1.30 | 1.17 – 1.43 | 1.00 | 1.300 |"),
            "{text}"
        );
        assert!((error - 0.1).abs() < 1e-9, "{error}");
    }
}

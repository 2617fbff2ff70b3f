//! Several plans side by side: runs, numbers of devices, and the cheapest for a deadline.

use std::process::ExitCode;

use anyhow::bail;
use comfy_table::{CellAlignment, Table, TableComponent, presets};

use super::Args;
use crate::projection::Plan;
use crate::projection::fit::{Offer, cheapest};
use crate::projection::text::{seconds, short};

/// Prints plans side by side; those that cannot be made say why and stand last.
pub fn several(args: &Args, plans: Vec<anyhow::Result<Plan>>) -> anyhow::Result<ExitCode> {
    if args.chart.is_some() || args.missing.is_some() {
        bail!("--chart and --missing are of one plan: name one --run and one number of --gpus");
    }
    let (mut made, mut failed) = (Vec::new(), Vec::new());
    for plan in plans {
        match plan {
            Ok(plan) => match plan.refusal() {
                None => made.push(plan),
                Some(reason) => failed.push(reason),
            },
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    if made.is_empty() {
        bail!("none of the plans can be made: {}", failed.join("; "));
    }
    let offers: Vec<Offer> = made.iter().filter_map(offer).collect();
    let best = args.wishes.deadline.map(|deadline| cheapest(&offers, deadline.0));
    if args.json {
        let value = serde_json::json!({
            "plans": made,
            "not_made": failed,
            "cheapest": best.flatten(),
        });
        super::super::show(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
    } else {
        let mut text = table(&made);
        text.push('\n');
        failed.iter().for_each(|reason| text += &format!("not made: {reason}\n"));
        match best {
            Some(Some(o)) => {
                text += &format!(
                    "cheapest in time: {} with {} devices: {} (at most {}), cost {}\n",
                    o.run,
                    o.gpus,
                    seconds(o.seconds.0),
                    seconds(o.seconds.1),
                    short(o.cost)
                );
            }
            Some(None) => {
                text += "nothing meets the deadline at the upper end of its interval:\n";
                for o in &offers {
                    let why =
                        o.out.clone().unwrap_or_else(|| format!("up to {}", seconds(o.seconds.1)));
                    text += &format!("  {} with {} devices: {why}\n", o.run, o.gpus);
                }
            }
            None => {}
        }
        super::super::show(&text)?;
    }
    Ok(if best == Some(None) { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

/// What a plan offers for its price. One with gaps is out: its time is a lower bound.
fn offer(plan: &Plan) -> Option<Offer> {
    let (step, totals) = plan.training.as_ref()?;
    let (span, cost) = (totals.seconds?, totals.cost?);
    let out = if step.missing > 0 {
        Some(format!("not measured: {} of {} lines", step.missing, step.lines.len()))
    } else if plan.fits() == Some(false) {
        Some("does not fit into memory".to_owned())
    } else {
        None
    };
    let seconds = (span.median, span.high);
    Some(Offer { run: plan.run.clone(), gpus: plan.gpus, seconds, cost: cost.median, out })
}

fn table(plans: &[Plan]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_header([
        "run",
        "gpus",
        "step",
        "tokens/s",
        "MFU",
        "memory",
        "training",
        "cost",
        "decode tokens/s",
        "gaps",
    ]);
    for plan in plans {
        let dash = || "–".to_owned();
        let training = plan.training.as_ref();
        let decoding = plan.decoding.as_ref();
        let gaps = training.map_or(0, |t| t.0.missing) + decoding.map_or(0, |d| d.0.missing);
        let least = if training.is_some_and(|t| t.0.missing > 0) { "≥ " } else { "" };
        let most = if least.is_empty() { "" } else { "≤ " };
        let memory = plan.capacity.map_or_else(dash, |(capacity, _)| {
            let full = if plan.fits() == Some(false) { " (does not fit)" } else { "" };
            format!("{:.0} %{full}", 100.0 * plan.needs() / capacity)
        });
        table.add_row([
            plan.run.clone(),
            plan.gpus.to_string(),
            training
                .map_or_else(dash, |(step, _)| format!("{least}{}", seconds(step.total.median))),
            training
                .map_or_else(dash, |(_, t)| format!("{most}{}", short(t.tokens_per_second.median))),
            training
                .and_then(|(_, t)| t.model_flops_utilization)
                .map_or_else(dash, |mfu| format!("{most}{:.1} %", 100.0 * mfu.median)),
            memory,
            training
                .and_then(|(_, t)| t.seconds)
                .map_or_else(dash, |s| format!("{least}{}", seconds(s.median))),
            training
                .and_then(|(_, t)| t.cost)
                .map_or_else(dash, |c| format!("{least}{}", short(c.median))),
            decoding.map_or_else(dash, |(_, d)| short(d.tokens_per_second_of_all.median)),
            gaps.to_string(),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

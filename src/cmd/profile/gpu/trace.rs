//! Activities for a trace viewer (Perfetto, chrome://tracing): the host's calls and what came of them on the GPU, with arrows between.
//!
//! The format is Chrome's "Trace Event Format": one JSON object with `traceEvents`, times in microseconds. What is known beyond times
//! (counters, the case, who told) stands in `otherData`.

use serde_json::{Value, json};

use crate::device::cuda::cupti::{Activities, Span};
use crate::ops::Case;

/// What the trace is of.
pub struct Title<'a> {
    /// The kernel's name.
    pub kernel: &'a str,
    /// The case.
    pub case: &'a Case,
    /// The GPU's name in records.
    pub device: &'a str,
    /// Who told.
    pub source: &'a str,
}

/// The host and the GPU are processes to a viewer.
const HOST: u32 = 1;
const GPU: u32 = 2;
/// Tracks of the GPU.
const KERNELS: u32 = 1;
const TRANSFERS: u32 = 2;

/// The trace as a viewer opens it; times begin with the first activity.
pub fn json(title: &Title<'_>, parts: [&Activities; 2], counters: Value) -> String {
    let starts = parts.iter().flat_map(|part| {
        let calls = part.calls.iter().map(|call| call.span.start_ns);
        calls.chain(part.kernels.iter().map(|kernel| kernel.span.start_ns))
    });
    let zero = starts.min().unwrap_or(0);
    let mut events = vec![
        name("process_name", HOST, 0, "host"),
        name("thread_name", HOST, KERNELS, "calls of the driver"),
        name("process_name", GPU, 0, title.device),
        name("thread_name", GPU, KERNELS, "kernels"),
        name("thread_name", GPU, TRANSFERS, "copies and fills"),
    ];
    for part in parts {
        add(&mut events, part, zero);
    }
    let whole = json!({
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "kernel": title.kernel,
            "case": title.case.key(),
            "device": title.device,
            "told_by": title.source,
            "flops": title.case.cost().flops.0,
            "least_bytes": title.case.cost().bytes.0,
            "counters": counters,
        },
    });
    whole.to_string() + "\n"
}

fn add(events: &mut Vec<Value>, part: &Activities, zero: u64) {
    let mut span = |name: &str, at: &Span, (pid, tid): (u32, u32), args: Value| {
        let (ts, dur) = (us(at.start_ns, zero), at.len_ns() as f64 / 1e3);
        events.push(json!({
            "name": name, "ph": "X", "ts": ts, "dur": dur, "pid": pid, "tid": tid, "args": args,
        }));
    };
    for call in &part.calls {
        let args = json!({ "correlation": call.correlation });
        span(&call.name, &call.span, (HOST, KERNELS), args);
    }
    for kernel in &part.kernels {
        let args = json!({
            "correlation": kernel.correlation,
            "grid": kernel.grid,
            "block": kernel.block,
            "registers": kernel.registers,
            "shared_static": kernel.shared_static,
            "shared_dynamic": kernel.shared_dynamic,
            "local": kernel.local,
        });
        span(&kernel.name, &kernel.span, (GPU, KERNELS), args);
    }
    for transfer in &part.transfers {
        let args = json!({ "correlation": transfer.correlation, "bytes": transfer.bytes });
        span(transfer.what, &transfer.span, (GPU, TRANSFERS), args);
    }
    let kernels = part.kernels.iter().map(|kernel| (kernel.correlation, kernel.span, KERNELS));
    let transfers = part.transfers.iter().map(|t| (t.correlation, t.span, TRANSFERS));
    let calls = part.by_correlation();
    for (correlation, to, track) in kernels.chain(transfers) {
        let Some(call) = calls.get(&correlation) else { continue };
        let mut end = |ph: &str, at: u64, (pid, tid): (u32, u32)| {
            events.push(json!({
                "name": "launch", "cat": "launch", "ph": ph, "bp": "e", "id": correlation,
                "ts": us(at, zero), "pid": pid, "tid": tid,
            }));
        };
        end("s", call.span.start_ns, (HOST, KERNELS));
        end("f", to.start_ns, (GPU, track));
    }
}

fn us(ns: u64, zero: u64) -> f64 {
    ns.saturating_sub(zero) as f64 / 1e3
}

fn name(what: &str, pid: u32, tid: u32, name: &str) -> Value {
    json!({ "name": what, "ph": "M", "ts": 0.0, "pid": pid, "tid": tid, "args": { "name": name } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::cupti::{Call, KernelRun};
    use crate::ops::{Matmul, Precision, Problem};

    #[test]
    fn a_kernel_is_joined_to_its_call_and_times_begin_with_the_first() {
        let span = |start_ns, end_ns| Span { start_ns, end_ns };
        let part = Activities {
            kernels: vec![KernelRun {
                name: "k".into(),
                span: span(9_000, 11_500),
                correlation: 3,
                grid: [4, 1, 1],
                block: [32, 1, 1],
                registers: 40,
                shared_static: 0,
                shared_dynamic: 0,
                local: 0,
            }],
            calls: vec![Call {
                name: "cuLaunchKernelEx".into(),
                span: span(8_000, 8_500),
                correlation: 3,
            }],
            ..Activities::default()
        };
        let case = Case::new(Problem::Matmul(Matmul::new(8, 8, 8)), Precision::F32);
        let title = Title { kernel: "matmul/x", case: &case, device: "cuda:0", source: "nobody" };
        let text = json(&title, [&part, &Activities::default()], json!({ "passes": 2 }));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["otherData"]["counters"]["passes"], 2);
        assert_eq!(value["otherData"]["flops"], 1024);
        let events = value["traceEvents"].as_array().unwrap();
        let of = |ph: &str| events.iter().filter(|e| e["ph"] == ph).collect::<Vec<_>>();
        let (spans, begins, ends) = (of("X"), of("s"), of("f"));
        assert_eq!((spans.len(), begins.len(), ends.len()), (2, 1, 1));
        assert_eq!((&spans[0]["ts"], &spans[1]["ts"]), (&json!(0.0), &json!(1.0)));
        assert_eq!(spans[1]["dur"], 2.5);
        assert_eq!(spans[1]["args"]["registers"], 40);
        assert_eq!((&begins[0]["id"], &ends[0]["id"]), (&json!(3), &json!(3)));
        assert_eq!((&begins[0]["pid"], &ends[0]["pid"]), (&json!(HOST), &json!(GPU)));
    }
}

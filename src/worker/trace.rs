//! What a run did when, for a trace viewer (Perfetto, chrome://tracing): what workers were asked as spans, a track each, and beside
//! them what they hold, the clocks, power and temperature that they told, as counters.
//!
//! The format is Chrome's "Trace Event Format": one JSON object with `traceEvents`, times in microseconds.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use super::protocol::{Reply, Request, Visit};
use crate::error::Result;

/// One event; fields are named as the format has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Event {
    name: String,
    /// `X` a span, `C` a counter, `M` a name.
    ph: &'static str,
    /// When it began, and how long it took, in microseconds.
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    /// The device.
    pid: usize,
    /// The worker.
    tid: usize,
    args: Value,
}

/// The events of a run so far.
#[derive(Debug)]
pub struct Trace {
    start: Instant,
    events: Vec<Event>,
    devices: Vec<String>,
    workers: Vec<(usize, String)>,
    /// What workers hold, by track and handle: its name, and its bytes once that is known.
    held: HashMap<(usize, u64), (String, u64)>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            start: Instant::now(),
            events: Vec::new(),
            devices: Vec::new(),
            workers: Vec::new(),
            held: HashMap::new(),
        }
    }
}

impl Trace {
    /// A worker of `device` was asked something at `asked`, and has replied by now.
    pub fn note(
        &mut self,
        device: &str,
        worker: &str,
        request: &Request,
        asked: Instant,
        reply: &Result<Reply>,
    ) {
        let ended = self.start.elapsed().as_secs_f64() * 1e6;
        let ts = asked.saturating_duration_since(self.start).as_secs_f64() * 1e6;
        let (pid, tid) = self.track(device, worker);
        let (name, args) = self.span(tid, request, reply);
        let dur = Some((ended - ts).max(0.0));
        self.events.push(Event { name, ph: "X", ts, dur, pid, tid, args });
        match (request, reply) {
            (Request::Prepare { handle, .. }, Ok(Reply::Prepared { allocated, .. })) => {
                if let Some(held) = self.held.get_mut(&(tid, *handle)) {
                    held.1 = *allocated;
                }
                self.memory(ended, pid);
            }
            (Request::Release { handle }, _) => {
                self.held.remove(&(tid, *handle));
                self.memory(ended, pid);
            }
            (_, Ok(Reply::Samples(visit))) => self.told(ended, pid, visit),
            (_, Err(_)) => {
                self.held.retain(|(track, _), _| *track != tid);
                self.memory(ended, pid);
            }
            _ => {}
        }
    }

    /// What the request is called, and what there is to say of it.
    fn span(&mut self, tid: usize, request: &Request, reply: &Result<Reply>) -> (String, Value) {
        let outcome = match reply {
            Ok(
                Reply::Refused { reason } | Reply::Failed { reason } | Reply::Wrong { reason, .. },
            ) => Some(reason.clone()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let of = |handle: &u64| {
            self.held.get(&(tid, *handle)).map_or("?".to_owned(), |(name, _)| name.clone())
        };
        let (name, mut args) = match request {
            Request::Prepare { handle, kernel, case, .. } => {
                let name = format!("prepare {kernel}");
                self.held.insert((tid, *handle), (format!("{kernel} {}", case.key()), 0));
                (name, json!({ "kernel": kernel, "case": case.key() }))
            }
            Request::Sample { handle, iterations, count } => {
                let what = of(handle);
                let kernel = what.split(' ').next().unwrap_or_default().to_owned();
                (
                    format!("sample {kernel}"),
                    json!({ "of": what, "samples": count, "launches": iterations }),
                )
            }
            Request::Release { handle } => ("release".to_owned(), json!({ "of": of(handle) })),
            Request::Calibrate => ("calibrate".to_owned(), json!({})),
            Request::Exit => ("exit".to_owned(), json!({})),
        };
        if let Some(outcome) = outcome {
            args["outcome"] = json!(outcome);
        }
        (name, args)
    }

    fn track(&mut self, device: &str, worker: &str) -> (usize, usize) {
        let pid = match self.devices.iter().position(|known| known == device) {
            Some(at) => at + 1,
            None => {
                self.devices.push(device.to_owned());
                let pid = self.devices.len();
                self.name("process_name", pid, 0, device);
                pid
            }
        };
        let tid = match self.workers.iter().position(|(of, known)| *of == pid && known == worker) {
            Some(at) => at + 1,
            None => {
                self.workers.push((pid, worker.to_owned()));
                let tid = self.workers.len();
                self.name("thread_name", pid, tid, worker);
                tid
            }
        };
        (pid, tid)
    }

    fn name(&mut self, what: &str, pid: usize, tid: usize, name: &str) {
        let args = json!({ "name": name });
        self.events.push(Event { name: what.into(), ph: "M", ts: 0.0, dur: None, pid, tid, args });
    }

    fn counter(&mut self, name: &str, ts: f64, pid: usize, args: Value) {
        self.events.push(Event { name: name.into(), ph: "C", ts, dur: None, pid, tid: 0, args });
    }

    /// What the workers of a device hold now, by kernel.
    fn memory(&mut self, ts: f64, pid: usize) {
        let mut by: BTreeMap<&str, u64> = BTreeMap::new();
        for ((tid, _), (name, bytes)) in &self.held {
            if self.workers[tid - 1].0 == pid {
                *by.entry(name.split(' ').next().unwrap_or_default()).or_default() += bytes;
            }
        }
        let total: u64 = by.values().sum();
        self.counter("buffers held, bytes", ts, pid, json!({ "all": total }));
    }

    fn told(&mut self, ts: f64, pid: usize, visit: &Visit) {
        if let Some(rate) = visit.anchor {
            self.counter("FMA anchor, GFLOP/s", ts, pid, json!({ "rate": rate / 1e9 }));
        }
        let Some(last) = visit.samples.last() else { return };
        if let Some(share) = last.core_share {
            self.counter("share of its core", ts, pid, json!({ "share": share }));
        }
        let Some(gpu) = last.gpu else { return };
        let told = [
            ("SM clock, MHz", gpu.sm_mhz),
            ("power, W", gpu.power_mw.map(|milli| milli as f64 / 1e3)),
            ("temperature, °C", gpu.temperature_c.map(f64::from)),
        ];
        for (name, value) in told {
            if let Some(value) = value {
                self.counter(name, ts, pid, json!({ "value": value }));
            }
        }
    }

    /// The trace as a viewer opens it.
    pub fn json(&self) -> String {
        let whole = json!({ "traceEvents": self.events, "displayTimeUnit": "ms" });
        whole.to_string() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::ops::{Case, Matmul, Precision, Problem};
    use crate::worker::protocol::Timed;

    #[test]
    fn requests_become_spans_of_their_worker_and_what_is_held_rises_and_falls() {
        let mut trace = Trace::default();
        let case = Case::new(Problem::Matmul(Matmul::new(3, 5, 7)), Precision::F32);
        let prepare = Request::Prepare {
            handle: 4,
            kernel: "matmul/simd".into(),
            case: Box::new(case),
            seed: 1,
            expected: None,
            exchange: None,
        };
        let refused = Ok(Reply::Refused { reason: "too odd".into() });
        trace.note("cpu", "own 0", &prepare, Instant::now(), &refused);
        let sample = Request::Sample { handle: 4, iterations: 9, count: 2 };
        let samples = vec![Timed { core_share: Some(0.9), ..Timed::default() }];
        let visit = Visit { samples, anchor: Some(2e9), ..Visit::default() };
        trace.note("cpu", "own 1", &sample, Instant::now(), &Ok(Reply::Samples(visit)));
        let died = Err(Error::Worker("it died".into()));
        trace.note("cpu", "own 0", &sample, Instant::now(), &died);
        let value: Value = serde_json::from_str(&trace.json()).unwrap();
        let events = value["traceEvents"].as_array().unwrap();
        let spans: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(spans.len(), 3);
        assert_eq!(spans[0]["args"]["outcome"], "too odd");
        assert_eq!((&spans[0]["tid"], &spans[2]["tid"]), (&json!(1), &json!(1)));
        assert_eq!(spans[2]["name"], "sample matmul/simd");
        assert!(spans[2]["args"]["outcome"].as_str().unwrap().contains("it died"));
        assert!(spans.iter().all(|span| span["dur"].as_f64().unwrap() >= 0.0));
        let counters = events.iter().filter(|event| event["ph"] == "C");
        let names: Vec<&str> = counters.map(|event| event["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"FMA anchor, GFLOP/s") && names.contains(&"buffers held, bytes"));
    }
}

//! The command that would measure what a run lacks.

use std::fmt::Write as _;

use super::times::Times;
use crate::ops::{Case, Pass, Problem};

/// `scalemark run …` for one case; one that no options describe goes through a case list.
pub fn command(case: &Case, device: &str) -> String {
    let mut text = String::from("scalemark run");
    match &case.problem {
        Problem::Matmul(m) if m.groups.is_none() => {
            let _ = write!(text, " -m {} -n {} -k {}", m.m, m.n, m.k);
            let _ = write!(text, " --transpose {}", m.transpose.name());
            if m.batch > 1 {
                let _ = write!(text, " --batch {}", m.batch);
            }
        }
        Problem::Attention(a) if a.head_dim_qk == a.head_dim_v => {
            let _ = write!(text, " --seq {} --batch {} --heads {}", a.seq_kv, a.batch, a.heads);
            let _ = write!(text, " --kv-heads {} --head-dim {}", a.kv_heads, a.head_dim_qk);
            let _ = write!(text, " --causal {} --pass {}", a.causal, case.pass.name());
        }
        Problem::Update(u) => {
            let _ = write!(text, " --params {} --op {}", u.params, u.rule.name());
        }
        _ => text.push_str(" --cases CASES.csv"),
    }
    let listed = text.ends_with(".csv");
    if !listed {
        let state = case.precision.state.filter(|_| {
            // An update's f32 state is what `run` gives it anyway.
            case.pass == Pass::Decode
        });
        let precision = crate::ops::Precision { state, ..case.precision };
        let _ = write!(text, " --dtype {precision}");
    }
    match device {
        "cpu" => {
            let _ = write!(text, " --threads {}", case.threads);
        }
        gpu => {
            let _ = write!(text, " --device {gpu} --regime {}", case.regime.name());
        }
    }
    text
}

/// The header of [`row`]s.
pub const HEADER: &str = "op,dtype,pass,threads,cache,transpose,m,n,k,batch,heads,kv_heads,seq_q,seq_kv,head_dim_qk,\
                          head_dim_v,causal,params,groups,routing_skew";

/// A row of a case list, as `scalemark run --cases` reads it.
pub fn row(case: &Case) -> String {
    let (op, dtype) = (case.problem.op(), case.precision);
    let (threads, cache) = (case.threads, case.cache.name());
    let pass = case.pass.name();
    match &case.problem {
        Problem::Matmul(m) => {
            let groups = m.groups.map_or((String::new(), String::new()), |g| {
                (g.experts.to_string(), g.skew.to_string())
            });
            format!(
                "{op},{dtype},{pass},{threads},{cache},{},{},{},{},{},,,,,,,,,{},{}",
                m.transpose.name(),
                m.m,
                m.n,
                m.k,
                m.batch,
                groups.0,
                groups.1
            )
        }
        Problem::Attention(a) => format!(
            "{op},{dtype},{pass},{threads},{cache},,,,,{},{},{},{},{},{},{},{},,,",
            a.batch, a.heads, a.kv_heads, a.seq_q, a.seq_kv, a.head_dim_qk, a.head_dim_v, a.causal
        ),
        Problem::Update(u) => {
            format!("{op},{dtype},,{threads},{cache},,,,,,,,,,,,,{},,", u.params)
        }
        Problem::Peak(_) => String::new(),
    }
}

/// The command for the probes of the machine's roofs.
pub fn probes(times: &Times) -> String {
    match times.device.as_str() {
        "cpu" => format!("scalemark run --op peak --threads {}", times.threads),
        gpu => format!("scalemark run --op peak --device {gpu}"),
    }
}

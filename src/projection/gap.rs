//! The command that would measure what a run lacks.

use std::fmt::Write as _;

use super::times::Times;
use crate::ops::{Case, Pass, Problem};

/// `scalemark run …` for one case; one that no options describe goes through a case list.
pub fn command(case: &Case, device: &str) -> String {
    let text = format!("scalemark run{}", options(case, device));
    if device == "cpu" { text } else { format!("{text} --regime {}", case.regime.name()) }
}

/// The options that choose one case, each after a space; `run`, `verify` and `list` take them.
pub fn options(case: &Case, device: &str) -> String {
    let mut text = String::new();
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
            let _ = write!(text, " --device {gpu}");
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

#[cfg(test)]
mod tests {
    use super::super::setup::Setup;
    use super::super::shard::stages;
    use super::super::work::{self, What};
    use super::*;
    use crate::models::find;
    use crate::ops::Precision;
    use crate::plan::case_list;

    #[test]
    fn a_case_list_of_any_models_steps_reads_back_as_the_same_cases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.csv");
        for name in ["gpt2", "llama-3-8b", "deepseek-v3", "qwen3-30b-a3b", "bert-base"] {
            for precision in [Precision::F32, Precision::BF16] {
                let model = find(name).unwrap().clone();
                let setup = Setup { seq: 256, context: 512, ..Setup::new(model, precision) };
                let stage = &stages(&setup)[0];
                let mut items = work::training(&setup, stage, 2);
                items.extend(work::decode(&setup, stage, 2));
                let case = |item: &work::Item| match item.what {
                    What::Kernel(case) => Some(case),
                    What::Stream(_) => None,
                };
                let cases: Vec<Case> = items.iter().filter_map(case).collect();
                let rows: Vec<String> = cases.iter().map(row).collect();
                std::fs::write(&path, format!("{HEADER}\n{}\n", rows.join("\n"))).unwrap();
                let read = case_list::read(&path, 1).unwrap();
                let keys =
                    |all: &mut dyn Iterator<Item = Case>| all.map(|c| c.key()).collect::<Vec<_>>();
                assert_eq!(
                    keys(&mut read.iter().map(|planned| planned.case)),
                    keys(&mut cases.iter().copied()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_command_names_the_sizes_or_a_case_list_where_options_cannot() {
        let model = find("deepseek-v3").unwrap().clone();
        let setup = Setup { seq: 256, ..Setup::new(model, Precision::BF16) };
        let items = work::training(&setup, &stages(&setup)[0], 2);
        let of = |name: &str| {
            let item = items.iter().find(|i| i.name == name).unwrap();
            let What::Kernel(case) = item.what else { panic!("{name} is a kernel") };
            command(&case, "cpu")
        };
        assert_eq!(
            of("q-a"),
            "scalemark run -m 256 -n 1536 -k 7168 --transpose nt --dtype bf16 --threads 2"
        );
        assert_eq!(of("experts-up"), "scalemark run --cases CASES.csv --threads 2");
        assert_eq!(of("attention"), "scalemark run --cases CASES.csv --threads 2");
        assert_eq!(
            of("update"),
            format!(
                "scalemark run --params {} --op adamw --dtype f32 --threads 2",
                setup.model.parameters()
            )
        );
    }
}

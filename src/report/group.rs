//! Records that belong side by side: same op, pass, precision, threads, cache, regime and device.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::ops::{Cache, DType, Family, Pass, Precision, ProbeKind, Problem, Regime};
use crate::record::{Record, Text};

/// What the records of one chart or table share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    /// The op's name; `optimizer` for a group of all update rules.
    pub op: &'static str,
    /// The op's family.
    pub family: Family,
    /// The pass, where it means something.
    pub pass: Option<Pass>,
    /// The formats.
    pub precision: Precision,
    /// CPU threads.
    pub threads: usize,
    /// What the caches held.
    pub cache: Cache,
    /// Burst or sustained.
    pub regime: Regime,
    /// Where it ran.
    pub device: Text,
}

impl Group {
    /// The group of a record.
    pub fn of(record: &Record) -> Group {
        let case = &record.case;
        let family = case.problem.family();
        // The state of an update says nothing that its rule does not say, as long as it is kept as wide as the sums.
        let state = case.precision.state;
        let plain = family == Family::Optimizer && state == Some(case.precision.accumulate);
        Group {
            op: case.problem.op(),
            family,
            pass: case.has_pass().then_some(case.pass),
            precision: Precision { state: if plain { None } else { state }, ..case.precision },
            threads: case.threads,
            cache: case.cache,
            regime: case.regime,
            device: record.device.clone(),
        }
    }

    /// The group that takes in every rule where this one holds a single rule.
    pub fn whole_family(mut self) -> Group {
        if self.family == Family::Optimizer {
            self.op = "optimizer";
        }
        self
    }

    /// `matmul forward`, `attention decode`, `adamw`.
    pub fn what(&self) -> String {
        match self.pass {
            Some(Pass::Forward) => format!("{} forward", self.op),
            Some(Pass::Backward) => format!("{} backward", self.op),
            Some(Pass::Decode) => format!("{} decode", self.op),
            None => self.op.to_owned(),
        }
    }

    /// `f32, 1 thread, warm`: what the numbers were measured under.
    pub fn conditions(&self) -> String {
        let mut words =
            vec![self.precision.to_string(), threads(self.threads), self.cache.name().to_owned()];
        if self.regime == Regime::Sustained {
            words.push(self.regime.name().to_owned());
        }
        if self.device != "cpu" {
            words.push(self.device.to_string());
        }
        words.join(", ")
    }

    /// `matmul forward (f32, 1 thread, warm)`.
    pub fn title(&self) -> String {
        format!("{} ({})", self.what(), self.conditions())
    }

    /// The title without the thread count, for what tells thread counts apart itself: `matmul forward (f32, warm)`.
    pub fn heading(&self) -> String {
        let conditions = self.conditions().replace(&format!(", {}", threads(self.threads)), "");
        format!("{} ({conditions})", self.what())
    }

    /// The stem of file names, e.g. `matmul-f32-t1` or `attention-fwd-bf16-t2-cold`; what is usual (a matmul's forward
    /// pass, warm, burst, cpu) is left out, so that a name does not depend on the other records.
    pub fn slug(&self) -> String {
        let mut name = self.op.to_owned();
        match self.pass {
            Some(Pass::Forward) if self.family == Family::Matmul => {}
            Some(pass) => name.push_str(&format!("-{}", pass.name())),
            None => {}
        }
        name.push_str(&format!("-{}", dtype_slug(self.precision)));
        name.push_str(&format!("-t{}", self.threads));
        if self.cache == Cache::Cold {
            name.push_str("-cold");
        }
        if self.regime == Regime::Sustained {
            name.push_str("-sustained");
        }
        name + &device_suffix(&self.device)
    }

    /// The order of reports: by op, pass, precision, threads, cache.
    fn rank(&self) -> impl Ord + use<> {
        let op = Problem::ops().iter().position(|(op, _)| *op == self.op);
        (
            self.device.clone(),
            self.family,
            op,
            self.pass,
            self.precision.inputs,
            self.precision.to_string(),
            self.threads,
            (self.cache, self.regime),
        )
    }
}

/// `1 thread`, `8 threads`.
pub fn threads(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

/// The end of a file name that tells devices apart: nothing for the CPU.
pub fn device_suffix(device: &str) -> String {
    if device == "cpu" { String::new() } else { format!("-{}", slug(device)) }
}

/// Letters, digits and dashes only.
pub fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A precision as part of a file name; the state is spelled out, for a plus sign means something in an address.
fn dtype_slug(precision: Precision) -> String {
    slug(&precision.to_string().replace('+', "-state-"))
}

/// The records of every group, groups in the order of reports and records in their own.
pub fn groups<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<(Group, Vec<&'a Record>)> {
    groups_by(records, Group::of)
}

/// Like [`groups`], with the rules of an optimizer together.
pub fn family_groups(records: &[Record]) -> Vec<(Group, Vec<&Record>)> {
    groups_by(records, |record| Group::of(record).whole_family())
}

fn groups_by<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    key: impl Fn(&Record) -> Group,
) -> Vec<(Group, Vec<&'a Record>)> {
    let mut found: Vec<(Group, Vec<&'a Record>)> = Vec::new();
    let mut at: HashMap<Group, usize, RandomState> = HashMap::default();
    for record in records {
        let group = key(record);
        let at = *at.entry(group).or_insert_with_key(|group| {
            found.push((group.clone(), Vec::new()));
            found.len() - 1
        });
        found[at].1.push(record);
    }
    found.sort_by_key(|(group, _)| group.rank());
    found
}

/// A kernel's name without its family.
pub fn short(kernel: &str) -> &str {
    kernel.split_once('/').map_or(kernel, |(_, name)| name)
}

/// Whether a record's kernel is ours and not a library's.
pub fn is_own(record: &Record) -> bool {
    record.provider == "own"
}

/// Whether the memory roof, not the arithmetic one, is the nearer; without measured roofs, by the op: updates, decodes
/// and memory probes are held to memory.
pub fn memory_bound(record: &Record) -> bool {
    let cost = record.case.cost();
    match (record.peak_flops, record.peak_bytes) {
        (Some(flops), Some(bytes)) => (cost.bytes / bytes).0 > (cost.flops / flops).0,
        (None, Some(_)) => true,
        (Some(_), None) => false,
        (None, None) => match record.case.problem {
            Problem::Update(_) => true,
            Problem::Attention(_) => record.case.pass == Pass::Decode,
            Problem::Peak(probe) => probe.kind != ProbeKind::Fma,
            Problem::Matmul(_) => false,
        },
    }
}

/// `262 GFLOP/s`, or `44.0 GB/s` where the memory roof is the nearer.
pub fn rate(record: &Record) -> Option<String> {
    if memory_bound(record) {
        record.byte_rate().map(|r| r.to_string())
    } else {
        record.flop_rate().map(|r| r.to_string())
    }
}

/// Formats that share a roofline: those with the same input format.
pub fn dtype(record: &Record) -> DType {
    record.case.precision.inputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Attention, Case, Matmul, Rule, Update};
    use crate::report::synthetic;

    #[test]
    fn file_names_leave_out_what_is_usual_and_hold_no_special_characters() {
        let matmul = Case::new(Problem::Matmul(Matmul::new(8, 8, 8)), Precision::F32);
        assert_eq!(Group::of(&synthetic::record(matmul, "a", "own")).slug(), "matmul-f32-t1");
        let attention = Case {
            threads: 2,
            cache: Cache::Cold,
            ..Case::new(Problem::Attention(Attention::new(2, 8, 8, true)), Precision::BF16)
        };
        let slug = Group::of(&synthetic::record(attention, "a", "own")).slug();
        assert_eq!(slug, "attention-fwd-bf16-t2-cold");
        let cached = Case {
            pass: Pass::Decode,
            precision: Precision::BF16.with_state(DType::F32),
            ..attention
        };
        let slug = Group::of(&synthetic::record(cached, "a", "own")).slug();
        assert_eq!(slug, "attention-decode-bf16-state-f32-t2-cold");
    }

    #[test]
    fn sgd_and_adamw_of_one_precision_share_a_family_group() {
        let case =
            |rule, precision| Case::new(Problem::Update(Update { rule, params: 1000 }), precision);
        let records = [
            synthetic::record(case(Rule::Sgd, Precision::F32), "a", "own"),
            synthetic::record(case(Rule::Adamw, Precision::F32.with_state(DType::F32)), "a", "own"),
        ];
        assert_eq!(family_groups(&records).len(), 1);
        assert_eq!(family_groups(&records)[0].0.slug(), "optimizer-f32-t1");
        assert_eq!(groups(&records).len(), 2);
    }
}

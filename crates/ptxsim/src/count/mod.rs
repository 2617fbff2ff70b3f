//! Counts what is executed, exactly: the same for every number of host threads, and for every seed where what a kernel executes
//! does not depend on the order of its warps (it does where a warp polls memory until another has written it).
//!
//! `counters.md`, which is part of the documentation of [`Counters`], defines each counter; nothing else is ever counted.

mod class;
mod cost;
mod memory;
pub mod occupancy;
mod traffic;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::exec::Access;
use crate::program::{Info, Program};
use traffic::Traffic;

pub use class::Class;
pub(crate) use cost::{Cost, Engine, engine};

/// The table that defines every counter, in Markdown: name, what it counts, and the metric of NVIDIA's profilers that comes
/// closest. `<class>` and `<form>` in a name stand for one of several.
pub const DEFINITIONS: &str = include_str!("counters.md");

/// What was executed, by name.
///
/// Counters that are zero are left out. All but `warp_…` and `thread_…` ones are summed over warps; metrics are those of
/// NVIDIA's profilers with `.sum`, which count machine instructions (SASS) where this counts PTX.
///
#[doc = include_str!("counters.md")]
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Instructions issued, one for a group of lanes.
    pub warp_instructions: u64,
    /// Lanes that executed them.
    pub thread_instructions: u64,
    named: BTreeMap<Cow<'static, str>, u64>,
}

impl Counters {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Counters) {
        self.warp_instructions += other.warp_instructions;
        self.thread_instructions += other.thread_instructions;
        for (name, count) in &other.named {
            *self.named.entry(name.clone()).or_default() += count;
        }
    }

    /// Every counter with its name; those of zero beyond the first two are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let first = [
            ("warp_instructions", self.warp_instructions),
            ("thread_instructions", self.thread_instructions),
        ];
        first.into_iter().chain(self.named.iter().map(|(name, count)| (name.as_ref(), *count)))
    }

    /// The counter of this name; 0 where nothing of it was executed.
    pub fn get(&self, name: &str) -> u64 {
        self.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, count: u64) {
        let name = name.into();
        debug_assert!(is_defined(&name), "{name} is not in counters.md");
        if count > 0 {
            *self.named.entry(name).or_default() += count;
        }
    }
}

/// Whether [`DEFINITIONS`] has a row for a counter.
pub fn is_defined(name: &str) -> bool {
    static NAMES: OnceLock<Vec<(&str, &str)>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        let rows = DEFINITIONS.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        rows.map(|name| name.split_once('<').unwrap_or((name, ""))).collect()
    });
    let of_class = |rest: &str| Class::ALL.iter().any(|class| class.name() == rest);
    names.iter().any(|(stem, kind)| match (name.strip_prefix(stem), *kind) {
        (Some(rest), "") => rest.is_empty(),
        (Some(rest), "class>") => of_class(rest),
        (Some(rest), _) => rest.starts_with('m'),
        (None, _) => false,
    })
}

/// What one instruction of the text came to ([`Options::lines`](crate::Options::lines)).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Counted {
    /// The instruction, without operands.
    pub instruction: String,
    /// Its line in the PTX text.
    pub ptx_line: u32,
    /// The CUDA source that it comes from; empty where the text does not say.
    pub file: String,
    /// The line there, from 1; 0 where it is not known.
    pub source_line: u32,
    /// What it alone came to. Those of all instructions add up to those of the launch; asynchronous copies count where they are
    /// asked for.
    pub counters: Counters,
}

/// What happened at one program counter.
#[derive(Debug, Default, Clone, Copy)]
struct Executed {
    warps: u64,
    lanes: u64,
    apart: u64,
}

/// The counter of one machine.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counter {
    executed: Vec<Executed>,
    traffic: Traffic,
    /// By program counter, where it is asked for; empty otherwise.
    apart: Vec<Option<Box<Traffic>>>,
}

impl Counter {
    /// For a machine that has not started; by instruction as well where `lines` are asked for.
    pub fn new(program: &Program, lines: bool) -> Counter {
        let executed = vec![Executed::default(); program.code.len()];
        let apart = if lines { vec![None; program.code.len()] } else { Vec::new() };
        Counter { executed, traffic: Traffic::default(), apart }
    }

    /// A group issued the instruction at `pc`; its guard let `mask` of it execute.
    #[inline(always)]
    pub fn instruction(&mut self, pc: u32, mask: u32) {
        let executed = &mut self.executed[pc as usize];
        executed.warps += 1;
        executed.lanes += u64::from(mask.count_ones());
    }

    /// What was issued last for `mask` has to wait, and will be issued again.
    pub fn again(&mut self, pc: u32, mask: u32) {
        let executed = &mut self.executed[pc as usize];
        executed.warps -= 1;
        executed.lanes -= u64::from(mask.count_ones());
    }

    /// A group came apart at `pc`.
    pub fn diverged(&mut self, pc: u32) {
        self.executed[pc as usize].apart += 1;
    }

    /// An access of the instruction at `pc` that will be carried out, and who makes it.
    #[inline]
    pub fn access(&mut self, pc: u32, engine: Engine, access: &Access) {
        self.traffic.note(engine, access);
        if let Some(apart) = self.apart.get_mut(pc as usize) {
            apart.get_or_insert_default().note(engine, access);
        }
    }

    /// Adds another machine's counts of the same program.
    pub fn merge(&mut self, other: &Counter) {
        for (mine, theirs) in self.executed.iter_mut().zip(&other.executed) {
            mine.warps += theirs.warps;
            mine.lanes += theirs.lanes;
            mine.apart += theirs.apart;
        }
        self.traffic.merge(&other.traffic);
        for (mine, theirs) in self.apart.iter_mut().zip(&other.apart) {
            if let Some(theirs) = theirs {
                mine.get_or_insert_default().merge(theirs);
            }
        }
    }

    /// The counts by name.
    pub fn finish(&self, program: &Program) -> Counters {
        named(program.info.iter().zip(&self.executed), Some(&self.traffic))
    }

    /// The counts of each instruction that was executed, in the order of the text; none where they were not asked for.
    pub fn instructions(&self, program: &Program) -> Vec<Counted> {
        let all = program.info.iter().zip(&self.executed).zip(&self.apart);
        let executed = all.filter(|((_, executed), _)| executed.warps > 0);
        let counted = |((info, executed), apart): ((&Info, &Executed), &Option<Box<Traffic>>)| {
            let file = program.files.iter().find(|(n, _)| *n == info.location.file);
            Counted {
                instruction: info.text.clone(),
                ptx_line: info.line,
                file: file.map(|(_, name)| name.clone()).unwrap_or_default(),
                source_line: info.location.line,
                counters: named(std::iter::once((info, executed)), apart.as_deref()),
            }
        };
        executed.map(counted).collect()
    }
}

/// Names what instructions came to, and their traffic.
fn named<'a>(
    instructions: impl Iterator<Item = (&'a Info, &'a Executed)>,
    traffic: Option<&Traffic>,
) -> Counters {
    let mut counters = Counters::default();
    let mut classes = [(0, 0, 0); Class::ALL.len()];
    for (info, executed) in instructions {
        let Executed { warps, lanes, apart } = *executed;
        let cost = &info.cost;
        let (of_warps, of_lanes, flops) = &mut classes[cost.class as usize];
        *of_warps += warps;
        *of_lanes += lanes;
        *flops += lanes * cost.operations;
        if let Some((form, operations)) = &cost.product {
            counters.add(format!("tensor_instructions_{form}"), warps);
            counters.add(format!("tensor_flops_{form}"), warps * operations);
            counters.add("tensor_flops", warps * operations);
        }
        counters.add("wgmma_shared_bytes", warps * cost.group_bytes);
        if let Some(event) = cost.event {
            counters.add(event.name(), warps);
        }
        counters.add("divergences", apart);
        if cost.event == Some(cost::Event::Branch) {
            counters.add("divergent_branches", apart);
        }
    }
    for class in Class::ALL {
        let (warps, lanes, flops) = classes[class as usize];
        counters.warp_instructions += warps;
        counters.thread_instructions += lanes;
        counters.add(format!("warp_{}", class.name()), warps);
        counters.add(format!("thread_{}", class.name()), lanes);
        counters.add(format!("flops_{}", class.name()), flops);
    }
    if let Some(traffic) = traffic {
        traffic.name(&mut counters);
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_definitions_has_three_cells_and_a_name_of_its_own() {
        let rows: Vec<&str> = DEFINITIONS.lines().skip(2).collect();
        let mut names = Vec::new();
        for row in &rows {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            assert!(cells.len() == 3 && cells.iter().all(|c| !c.trim().is_empty()), "{row}");
            names.push(cells[0]);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn classes_stand_at_their_own_number_and_in_the_definitions() {
        let row = DEFINITIONS.lines().find(|row| row.starts_with("| `warp_<class>`")).unwrap();
        for (number, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, number);
            assert!(row.contains(&format!("`{}`", class.name())), "{}", class.name());
        }
    }

    #[test]
    fn only_what_has_a_row_is_defined() {
        for name in
            ["branches", "warp_fp32", "thread_tensor", "tensor_flops_m64n8k16.f32.bf16.bf16.f32"]
        {
            assert!(is_defined(name), "{name}");
        }
        for name in ["branch", "branches_", "warp_fp8", "tensor_flops_", ""] {
            assert!(!is_defined(name), "{name}");
        }
    }
}

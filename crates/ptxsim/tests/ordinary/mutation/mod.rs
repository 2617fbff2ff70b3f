//! Mutants: kernels with one instruction changed, which the simulator should find out.
//!
//! The population is every static instruction of the corpus's kernels, and of the device functions that they call, that is
//! executed when they run (a trap in its place is met), each with the same weight. A sample takes an instruction, a kind of edit
//! that applies to it, and a variant of that kind, all uniformly. An edit that is no PTX (`ptxas` says so where `PTXAS` names one;
//! otherwise the simulator, when it resolves the entry) is drawn again for the same instruction. A mutant is caught when, under one
//! of six settings of inputs, sizes and schedule, there is an error or a finding, or an output is not right: integers and chains
//! of multiply-adds exactly, other floats within the tolerance of their test against `f64`; or where an output that no schedule
//! changes has other bits than the unchanged kernel's (counted apart).
//!
//! `cargo test` takes a small sample; `MUTATION.md` has a large one, what survived it, and the command.

mod cases;
mod edit;
mod population;
pub(crate) mod trial;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

use population::{Mutant, Population};
use trial::End;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| n.parse().unwrap_or_else(|_| panic!("{name}={n}")))
}

/// Panics of the simulator itself, which no mutant may cause.
static CRASHES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps verdicts of trials from being printed, and notes panics that are no verdicts.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map_or("", |location| location.file());
            if !place.contains("ordinary") && !place.contains("rustc") {
                CRASHES.lock().unwrap_or_else(|lock| lock.into_inner()).push(panic.to_string());
            }
            if !trial::under_way() {
                before(panic);
            }
        }));
    });
}

/// The mutants of a seed, in order.
fn sample(count: usize, seed: u64, population: &Population) -> Vec<Mutant> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let mutant = population.draw(seed, number as u64);
                    found.lock().unwrap().push((number, mutant));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, mutant)| mutant).collect()
}

/// A field of a table.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'").replace('\n', " "))
}

/// What became of every mutant, a line each.
fn table(mutants: &[Mutant]) -> String {
    let mut text = "file,function,line,kind,before,after,end,detail\n".to_string();
    for Mutant { file, function, line, kind, before, after, end } in mutants {
        let (name, detail) = match end {
            End::Right => ("survived".to_string(), ""),
            End::Wrong => ("wrong".to_string(), ""),
            End::OtherBits => ("other bits".to_string(), ""),
            End::Found(kind, detail) => (format!("{kind:?}"), &detail[..]),
            End::Refused(detail) => ("refused".to_string(), &detail[..]),
        };
        let [before, after, detail] = [before, after, detail].map(quoted);
        writeln!(text, "{file},{function},{line},{kind},{before},{after},{name},{detail}").unwrap();
    }
    text
}

/// Shares by kind of edit and by how they were caught.
fn summary(mutants: &[Mutant]) -> String {
    let mut kinds = BTreeMap::<&str, [usize; 2]>::new();
    let mut ends = BTreeMap::<String, usize>::new();
    for mutant in mutants {
        let of = kinds.entry(mutant.kind).or_default();
        of[0] += 1;
        of[1] += mutant.caught() as usize;
        *ends
            .entry(match &mutant.end {
                End::Right => "survived".into(),
                End::Wrong => "wrong result".into(),
                End::OtherBits => "other bits within tolerance".into(),
                End::Found(kind, _) => format!("{kind:?}"),
                End::Refused(_) => "refused".into(),
            })
            .or_default() += 1;
    }
    format!("by edit (all, caught): {kinds:?}\nby end: {ends:?}")
}

/// The samples that `cargo test` takes: the first seeds there are, with so many mutants each.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
const OF_EACH: u64 = 24;

/// The fewest of `count` that a share of nine in ten leaves, short of three standard deviations by chance.
fn fewest(count: usize) -> usize {
    let (n, share) = (count as f64, 0.9);
    (n * share - 3.0 * (n * share * (1.0 - share)).sqrt()).ceil().max(0.0) as usize
}

#[test]
fn nine_in_ten_mutants_are_caught() {
    listen();
    let population = Population::new();
    let count = setting("MUTANTS", OF_EACH) as usize;
    let seeds = match setting("MUTATION_SEED", 0) {
        0 => SEEDS.to_vec(),
        seed => vec![seed],
    };
    let samples = seeds.iter().flat_map(|seed| sample(count, *seed, &population));
    let mutants: Vec<Mutant> = samples.collect();
    let count = mutants.len();
    let caught = mutants.iter().filter(|mutant| mutant.caught()).count();
    println!(
        "{caught} of {count} mutants of seeds {seeds:?} caught; {} executed instructions of {} looked at; {}",
        population.executed(),
        population.len(),
        population.judge()
    );
    println!("{}", summary(&mutants));
    for mutant in mutants.iter().filter(|mutant| !mutant.caught()) {
        let Mutant { file, function, line, kind, before, after, end } = mutant;
        println!("{end:?}: {file} {function} line {line}, {kind}: {before} -> {after}");
    }
    if let Ok(path) = std::env::var("MUTATION_TABLE") {
        std::fs::write(path, table(&mutants)).unwrap();
    }
    let crashes = CRASHES.lock().unwrap();
    assert!(crashes.is_empty(), "the simulator panicked: {crashes:#?}");
    assert!(caught >= fewest(count), "{caught} of {count}, fewer than {}", fewest(count));
}

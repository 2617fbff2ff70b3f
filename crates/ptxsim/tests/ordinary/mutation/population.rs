//! Which instructions there are, which of them are executed, and what becomes of their mutants.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;
use std::sync::{Arc, Mutex};

use ptxsim::ast::{self, Function, Instruction, Statement};
use ptxsim::{Kind, Module};

use super::cases::CASES;
use super::edit::{Scope, edits};
use super::trial::{End, SETTINGS, judge};
use crate::{Source, read};

/// A changed kernel and what became of it.
pub(super) struct Mutant {
    pub file: &'static str,
    pub function: String,
    pub line: u32,
    /// What kind of edit.
    pub kind: &'static str,
    pub before: String,
    pub after: String,
    pub end: End,
}

impl Mutant {
    /// Whether anything shows it.
    pub fn caught(&self) -> bool {
        self.end != End::Right
    }
}

/// A file of the corpus.
struct File {
    name: &'static str,
    ast: ast::Module,
    cases: Vec<FileCase>,
    /// Warp instructions that a cluster may execute: twenty times what the longest launch does.
    budget: u64,
}

/// A case that reads a file.
struct FileCase {
    /// In [`CASES`].
    number: usize,
    entries: BTreeSet<&'static str>,
    /// Of its outputs, by setting.
    hashes: Vec<u64>,
}

/// An instruction: file, function, and its number in it.
type Site = (usize, usize, usize);

/// All instructions of all functions that are launched or may be called.
pub(super) struct Population {
    files: Vec<File>,
    sites: Vec<Site>,
    executed: Mutex<HashMap<Site, bool>>,
    ptxas: Option<String>,
}

/// How many draws of an edit an instruction gets.
const DRAWS: usize = 30;

impl Population {
    /// Runs every case unchanged under every setting.
    ///
    /// # Panics
    /// Where one is not right.
    pub fn new() -> Population {
        let mut files = BTreeMap::<&'static str, File>::new();
        for (number, case) in CASES.iter().enumerate() {
            // Which file a case reads is known once it has run: any module will do for that.
            let empty = Arc::new(Module::from(ast::Module::default()));
            let (_, seen) = judge(*case, &empty, SETTINGS[0], 1);
            let name = seen.entries.first().expect("every case launches something").0;
            let file = files.entry(name).or_insert_with(|| File {
                name,
                ast: read(name).ast().clone(),
                cases: Vec::new(),
                budget: 0,
            });
            let module = Arc::new(Module::from(file.ast.clone()));
            let mut of = FileCase { number, entries: BTreeSet::new(), hashes: Vec::new() };
            for setting in SETTINGS {
                let (end, seen) = judge(*case, &module, setting, u64::MAX);
                let inputs = setting.inputs;
                assert_eq!(end, End::Right, "{name}: {seen:?} unchanged, with inputs {inputs}");
                of.entries.extend(seen.entries.iter().map(|(_, entry)| *entry));
                of.hashes.push(seen.hash);
                file.budget = file.budget.max(20 * seen.longest + 10_000);
            }
            file.cases.push(of);
        }
        let files: Vec<File> = files.into_values().collect();
        let mut sites = Vec::new();
        for (f, file) in files.iter().enumerate() {
            for (g, function) in file.ast.functions.iter().enumerate() {
                if !file.cases_of(function).is_empty() {
                    let mut found = Vec::new();
                    all(function.body.as_deref().unwrap_or_default(), &mut found);
                    // The end of a body returns: without its last `ret` it is the same.
                    found.pop_if(|last| last.opcode == "ret" && last.guard.is_none());
                    sites.extend((0..found.len()).map(|k| (f, g, k)));
                }
            }
        }
        let ptxas = std::env::var("PTXAS").ok();
        Population { files, sites, executed: Mutex::default(), ptxas }
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// How many of those that were drawn are executed, and how many were drawn.
    pub fn executed(&self) -> String {
        let executed = self.executed.lock().unwrap();
        format!("{} of {}", executed.values().filter(|executed| **executed).count(), executed.len())
    }

    /// What says whether an edit is PTX.
    pub fn judge(&self) -> &str {
        if self.ptxas.is_some() {
            "ptxas accepts each"
        } else {
            "no ptxas: the simulator accepts each"
        }
    }

    /// Mutant `number` of a seed.
    pub fn draw(&self, seed: u64, number: u64) -> Mutant {
        let mut source = Source::new(seed << 32 | number);
        let mut below = |n: usize| (source.bits() % n as u64) as usize;
        loop {
            let site = self.sites[below(self.sites.len())];
            if !self.is_executed(site) {
                continue;
            }
            let file = &self.files[site.0];
            let function = &file.ast.functions[site.1];
            let before = instruction(function, site.2);
            let kinds = edits(before, &Scope::new(function, &file.ast));
            for draw in 0..DRAWS {
                let (kind, variants) = &kinds[below(kinds.len())];
                let edit = &variants[below(variants.len())];
                let changed = match edit {
                    Some(instruction) => Statement::Instruction(instruction.clone()),
                    None => Statement::Block(Vec::new()),
                };
                let module = self.replaced(site, changed);
                if !self.accepts(site, &module, (seed, number, draw)) {
                    continue;
                }
                let end = self.judge_mutant(site, Module::from(module));
                if self.ptxas.is_none() && matches!(end, End::Refused(_)) {
                    continue;
                }
                return Mutant {
                    file: file.name,
                    function: function.name.clone(),
                    line: before.line,
                    kind,
                    before: before.to_string(),
                    after: edit.as_ref().map_or("(deleted)".into(), Instruction::to_string),
                    end,
                };
            }
        }
    }

    fn judge_mutant(&self, site: Site, module: Module) -> End {
        let (module, file) = (Arc::new(module), &self.files[site.0]);
        let mut other_bits = false;
        for (k, setting) in SETTINGS.into_iter().enumerate() {
            for case in file.cases_of(&file.ast.functions[site.1]) {
                let (end, seen) = judge(CASES[case.number], &module, setting, file.budget);
                if end != End::Right {
                    return end;
                }
                other_bits |= seen.hash != case.hashes[k];
            }
        }
        if other_bits { End::OtherBits } else { End::Right }
    }

    /// Whether a trap in its place, under its guard, is met by any case.
    fn is_executed(&self, site: Site) -> bool {
        if let Some(known) = self.executed.lock().unwrap().get(&site) {
            return *known;
        }
        let file = &self.files[site.0];
        let function = &file.ast.functions[site.1];
        let before = instruction(function, site.2);
        let trap = Instruction {
            opcode: "trap".into(),
            modifiers: Vec::new(),
            operands: Vec::new(),
            ..before.clone()
        };
        let both = [trap, before.clone()].map(Statement::Instruction).to_vec();
        let module = Arc::new(Module::from(self.replaced(site, Statement::Block(both))));
        let found = SETTINGS.iter().any(|setting| {
            file.cases_of(function).into_iter().any(|case| {
                let (end, _) = judge(CASES[case.number], &module, *setting, file.budget);
                matches!(end, End::Found(Kind::Trap, _))
            })
        });
        self.executed.lock().unwrap().insert(site, found);
        found
    }

    /// The file's module with another statement at `site`.
    fn replaced(&self, site: Site, by: Statement) -> ast::Module {
        let mut module = self.files[site.0].ast.clone();
        let body = module.functions[site.1].body.as_mut().expect("a site lies in a body");
        let mut left = site.2;
        let place = place(body, &mut left).expect("a site is an instruction");
        *place = by;
        module
    }

    /// Whether the module is PTX; asks `ptxas` about its function and all that may be called, if there is one.
    fn accepts(&self, site: Site, module: &ast::Module, name: (u64, u64, usize)) -> bool {
        let Some(ptxas) = &self.ptxas else { return true };
        let mut text = module.clone();
        let mut at = 0;
        text.functions.retain(|function| {
            at += 1;
            at - 1 == site.1 || !function.entry
        });
        let path = std::env::temp_dir().join(format!("{}-{name:?}.ptx", std::process::id()));
        std::fs::write(&path, text.to_string()).unwrap();
        let suffix = module.suffix.map_or(String::new(), String::from);
        let command = Command::new(ptxas)
            .arg(format!("-arch=sm_{}{suffix}", module.sm))
            .args(["-O0", "-o", "/dev/null"])
            .arg(&path)
            .output()
            .unwrap_or_else(|error| panic!("{ptxas}: {error}"));
        std::fs::remove_file(&path).unwrap();
        command.status.success()
    }
}

impl File {
    /// The cases that launch an entry; all of them for a device function.
    fn cases_of(&self, function: &Function) -> Vec<&FileCase> {
        let launches =
            |case: &&FileCase| !function.entry || case.entries.contains(&function.name[..]);
        self.cases.iter().filter(launches).collect()
    }
}

/// Where the instruction stands that comes after `left` others.
fn place<'a>(statements: &'a mut [Statement], left: &mut usize) -> Option<&'a mut Statement> {
    for statement in statements {
        match statement {
            Statement::Instruction(_) if *left == 0 => return Some(statement),
            Statement::Instruction(_) => *left -= 1,
            Statement::Block(inner) => {
                if let Some(found) = place(inner, left) {
                    return Some(found);
                }
            }
            _ => {}
        }
    }
    None
}

/// All instructions in order.
pub(super) fn all<'a>(statements: &'a [Statement], to: &mut Vec<&'a Instruction>) {
    for statement in statements {
        match statement {
            Statement::Instruction(instruction) => to.push(instruction),
            Statement::Block(inner) => all(inner, to),
            _ => {}
        }
    }
}

fn instruction(function: &Function, number: usize) -> &Instruction {
    let mut found = Vec::new();
    all(function.body.as_deref().unwrap_or_default(), &mut found);
    found[number]
}

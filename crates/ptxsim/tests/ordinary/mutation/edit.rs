//! One edit to one instruction: every variant of every kind that applies to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ptxsim::ast::{self, Function, Instruction, Operand, Statement};

use super::population::all;

/// Variants of one kind; `None` deletes the instruction.
pub(super) type Kind = (&'static str, Vec<Option<Instruction>>);

/// The names that a function uses.
pub(super) struct Scope {
    /// Types of registers by name, or by prefix.
    types: HashMap<String, String>,
    /// Registers in use, by type.
    registers: BTreeMap<String, BTreeSet<String>>,
    labels: Vec<String>,
}

impl Scope {
    pub fn new(function: &Function, module: &ast::Module) -> Scope {
        let mut scope =
            Scope { types: HashMap::new(), registers: BTreeMap::new(), labels: Vec::new() };
        let body = function.body.as_deref().unwrap_or_default();
        scope.declare(body);
        let mut instructions = Vec::new();
        all(body, &mut instructions);
        for instruction in instructions {
            let guard = instruction.guard.iter().map(|guard| guard.0.clone());
            let mut names: Vec<String> = guard.collect();
            instruction.operands.iter().for_each(|operand| scope.names(operand, &mut names));
            for name in names {
                if let Some(ty) = scope.type_of(&name).cloned() {
                    scope.registers.entry(ty).or_default().insert(name);
                }
            }
        }
        debug_assert!(module.address_size == 64);
        scope
    }

    fn declare(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Block(inner) => self.declare(inner),
                Statement::Label(name, _) => self.labels.push(name.clone()),
                Statement::Registers { ty, name, .. } => {
                    self.types.insert(name.clone(), ty.clone());
                }
                _ => {}
            }
        }
    }

    fn names(&self, operand: &Operand, to: &mut Vec<String>) {
        match operand {
            Operand::Name(name) | Operand::Not(name) => to.push(name.clone()),
            Operand::Vector(parts) | Operand::List(parts) => {
                parts.iter().for_each(|part| self.names(part, to));
            }
            Operand::Address(base, _) => self.names(base, to),
            Operand::Tensor(base, rest) => {
                self.names(base, to);
                rest.iter().for_each(|part| self.names(part, to));
            }
            Operand::Pair(first, second) => {
                self.names(first, to);
                self.names(second, to);
            }
            _ => {}
        }
    }

    fn type_of(&self, name: &str) -> Option<&String> {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        self.types.get(name).or_else(|| self.types.get(prefix))
    }

    /// The other registers of the same type.
    fn others(&self, name: &str) -> Vec<String> {
        let of_type = self.type_of(name).and_then(|ty| self.registers.get(ty));
        of_type.into_iter().flatten().filter(|other| *other != name).cloned().collect()
    }
}

/// Operands that differ from `operand` at one place, as `leaf` says.
fn variants(operand: &Operand, leaf: &dyn Fn(&Operand) -> Vec<Operand>) -> Vec<Operand> {
    let mut found = leaf(operand);
    let mut parts = |all: &[Operand], whole: &dyn Fn(Vec<Operand>) -> Operand| {
        for (k, part) in all.iter().enumerate() {
            for variant in variants(part, leaf) {
                let mut changed = all.to_vec();
                changed[k] = variant;
                found.push(whole(changed));
            }
        }
    };
    match operand {
        Operand::Vector(all) => parts(all, &Operand::Vector),
        Operand::List(all) => parts(all, &Operand::List),
        Operand::Tensor(base, rest) => {
            parts(rest, &|rest| Operand::Tensor(base.clone(), rest));
            for base in variants(base, leaf) {
                found.push(Operand::Tensor(Box::new(base), rest.clone()));
            }
        }
        Operand::Address(base, offset) => {
            for base in variants(base, leaf) {
                found.push(Operand::Address(Box::new(base), *offset));
            }
        }
        Operand::Pair(first, second) => {
            for changed in variants(first, leaf) {
                found.push(Operand::Pair(Box::new(changed), second.clone()));
            }
            for changed in variants(second, leaf) {
                found.push(Operand::Pair(first.clone(), Box::new(changed)));
            }
        }
        _ => {}
    }
    found
}

/// Instructions that differ in one operand.
fn with_operand(
    instruction: &Instruction,
    leaf: &dyn Fn(&Operand) -> Vec<Operand>,
) -> Vec<Instruction> {
    let mut found = Vec::new();
    for (k, operand) in instruction.operands.iter().enumerate() {
        for variant in variants(operand, leaf) {
            let mut changed = instruction.clone();
            changed.operands[k] = variant;
            found.push(changed);
        }
    }
    found
}

/// Words of which one may stand for another.
const OPERATORS: &[&[&str]] = &[
    &["add", "sub"],
    &["add", "mul"],
    &["min", "max"],
    // Not `or` for `xor`: of disjoint bits, as addresses are made of, they are the same.
    &["and", "or"],
    &["and", "xor"],
    &["shl", "shr"],
    &["div", "rem"],
    &["div", "mul"],
    &["ex2", "lg2", "rcp", "rsqrt", "sqrt", "sin", "cos"],
    &["neg", "abs"],
    &["popc", "clz"],
];
const COMPARISONS: &[&[&str]] = &[
    &["eq", "ne", "lt", "le", "gt", "ge"],
    &["lo", "ls", "hi", "hs", "eq", "ne"],
    &["equ", "neu", "ltu", "leu", "gtu", "geu"],
];
const MODES: &[&[&str]] = &[
    &["up", "down", "bfly", "idx"],
    &["all", "any", "uni"],
    &["lo", "hi"],
    &["add", "min", "max", "and", "or", "exch"],
    &["and", "or"],
    &["and", "xor"],
];
const ROUNDINGS: &[&[&str]] = &[&["rn", "rz", "rm", "rp"], &["rni", "rzi", "rmi", "rpi"]];
/// A product takes two operands of a type, which change together.
const FORMATS: &[&[&str]] =
    &[&["bf16", "f16", "tf32"], &["bf16x2", "f16x2"], &["e4m3x2", "e5m2x2"], &["s8", "u8"]];
const ORDERS: &[&[&str]] =
    &[&["acquire", "relaxed"], &["release", "relaxed"], &["sys", "gpu", "cta"]];
const SIGNS: &[&[&str]] = &[&["s8", "u8"], &["s16", "u16"], &["s32", "u32"], &["s64", "u64"]];
const WIDTHS: &[&[&str]] =
    &[&["u8", "u16", "u32"], &["b8", "b16", "b32"], &["s8", "s16", "s32"], &["b32", "b64"]];

/// The families in which the order of these operands matters.
const SWAPS: &[(&str, &[(usize, usize)])] = &[
    ("sub", &[(1, 2)]),
    ("div", &[(1, 2)]),
    ("rem", &[(1, 2)]),
    ("shl", &[(1, 2)]),
    ("shr", &[(1, 2)]),
    ("setp", &[(1, 2)]),
    ("selp", &[(1, 2)]),
    ("fma", &[(1, 3), (2, 3)]),
    ("mad", &[(1, 3), (2, 3)]),
    ("prmt", &[(1, 2), (1, 3)]),
    ("shf", &[(1, 2)]),
    ("bfe", &[(2, 3)]),
    ("bfi", &[(1, 2), (3, 4)]),
    ("lop3", &[(1, 2), (1, 3), (2, 3)]),
    ("dp4a", &[(1, 3)]),
    ("atom", &[(2, 3)]),
    ("mma", &[(1, 2), (0, 3)]),
];

/// The words that may stand for `word` by a table.
fn substitutes<'a>(word: &str, table: &[&[&'a str]]) -> Vec<&'a str> {
    let rows = table.iter().filter(|row| row.contains(&word));
    let words: BTreeSet<&str> = rows.flat_map(|row| row.iter().copied()).collect();
    words.into_iter().filter(|other| *other != word).collect()
}

/// Instructions that differ in one modifier, wherever it stands, by a table.
fn with_modifier(instruction: &Instruction, table: &[&[&str]]) -> Vec<Instruction> {
    let mut found = Vec::new();
    for (k, modifier) in instruction.modifiers.iter().enumerate() {
        for word in substitutes(modifier, table) {
            let mut changed = instruction.clone();
            changed.modifiers[k] = word.into();
            found.push(changed.clone());
            if instruction.modifiers[..k].contains(modifier) {
                let all = changed.modifiers.iter_mut().filter(|other| *other == modifier);
                all.for_each(|other| *other = word.into());
                found.push(changed);
            }
        }
    }
    found
}

/// Instructions that lack one of these modifiers.
fn without_modifier(instruction: &Instruction, words: &[&str]) -> Vec<Instruction> {
    let mut found = Vec::new();
    for (k, modifier) in instruction.modifiers.iter().enumerate() {
        if words.contains(&&modifier[..]) {
            let mut changed = instruction.clone();
            changed.modifiers.remove(k);
            found.push(changed);
        }
    }
    found
}

/// Another immediate: one more, one less, or a bit flipped.
fn immediates(operand: &Operand) -> Vec<Operand> {
    match *operand {
        Operand::Integer(value) => {
            let mut found = vec![value + 1, value - 1];
            // Bits that it has, and the one above them.
            let bits = 129 - value.unsigned_abs().leading_zeros().min(126);
            found.extend((1..bits).map(|bit| value ^ 1 << bit));
            found.into_iter().map(Operand::Integer).collect()
        }
        Operand::F32(bits) => (0..32).map(|bit| Operand::F32(bits ^ 1 << bit)).collect(),
        Operand::F64(bits) => (0..64).map(|bit| Operand::F64(bits ^ 1 << bit)).collect(),
        _ => Vec::new(),
    }
}

/// The same base with another offset.
fn offsets(operand: &Operand) -> Vec<Operand> {
    let Operand::Address(base, offset) = operand else { return Vec::new() };
    let moves = [1, 2, 4, 8, 16, 32, 128];
    let moved = moves.into_iter().flat_map(|by| [offset + by, offset - by]);
    moved.map(|offset| Operand::Address(base.clone(), offset)).collect()
}

/// Two neighbours of a vector exchanged.
fn exchanged(operand: &Operand) -> Vec<Operand> {
    let Operand::Vector(parts) = operand else { return Vec::new() };
    let exchange = |k: usize| {
        let mut parts = parts.clone();
        parts.swap(k - 1, k);
        Operand::Vector(parts)
    };
    (1..parts.len()).filter(|k| parts[*k] != parts[k - 1]).map(exchange).collect()
}

/// Another special register of the same kind.
fn specials(operand: &Operand) -> Vec<Operand> {
    const NAMES: [&str; 12] = [
        "%tid.x",
        "%tid.y",
        "%tid.z",
        "%ntid.x",
        "%ntid.y",
        "%ntid.z",
        "%ctaid.x",
        "%ctaid.y",
        "%ctaid.z",
        "%nctaid.x",
        "%nctaid.y",
        "%nctaid.z",
    ];
    match operand {
        Operand::Name(name) if NAMES.contains(&&name[..]) => {
            let others = NAMES.into_iter().filter(|other| other != name);
            others.map(|other| Operand::Name(other.into())).collect()
        }
        _ => Vec::new(),
    }
}

/// Bits of a type: 32 of `u32`.
fn bits(ty: &str) -> u32 {
    ty.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or(0)
}

/// The other signedness, where it means another function: not of types of moves, sums and tests for equality, nor where an
/// index is widened to an address (`mul.wide`, `cvt` to 64 bits): one that is negative there is out of bounds before.
fn signs(instruction: &Instruction, scope: &Scope) -> Vec<Instruction> {
    let has = |words: &[&str]| instruction.modifiers.iter().any(|m| words.contains(&&m[..]));
    let all = || with_modifier(instruction, SIGNS);
    match &instruction.opcode[..] {
        "setp" | "set" if has(&["lt", "le", "gt", "ge"]) => all(),
        "shr" | "div" | "rem" | "min" | "max" | "bfe" => all(),
        "mul" | "mad" if has(&["hi"]) => all(),
        "atom" | "red" if has(&["min", "max"]) => all(),
        "ld" => {
            let first = instruction.operands.first().map(|operand| match operand {
                Operand::Vector(parts) => parts.first().cloned().unwrap_or(Operand::Sink),
                other => other.clone(),
            });
            let Some(Operand::Name(to)) = first else { return Vec::new() };
            let register = scope.type_of(&to).map_or(0, |ty| bits(ty));
            let narrow = instruction.modifiers.last().is_some_and(|ty| bits(ty) < register);
            if narrow { all() } else { Vec::new() }
        }
        "cvt" => {
            let [.., to, from] = &instruction.modifiers[..] else { return Vec::new() };
            let float = |ty: &str| ty.contains('f');
            let from_counts = float(to) || bits(to) > bits(from) && bits(to) < 64;
            let to_counts = float(from) || has(&["sat"]);
            let last = instruction.modifiers.len() - 1;
            let counts = |changed: &Instruction| {
                if changed.modifiers[last] != *from { from_counts } else { to_counts }
            };
            all().into_iter().filter(counts).collect()
        }
        _ => Vec::new(),
    }
}

/// Every kind of edit that applies, with its variants; there is always the deletion.
pub(super) fn edits(instruction: &Instruction, scope: &Scope) -> Vec<Kind> {
    let opcode = &instruction.opcode[..];
    let mut kinds: Vec<Kind> = vec![("deleted", vec![None])];
    let mut add = |kind, found: Vec<Instruction>| {
        if !found.is_empty() {
            kinds.push((kind, found.into_iter().map(Some).collect()));
        }
    };

    if let Some((name, negated)) = &instruction.guard {
        let with = |guard| Instruction { guard, ..instruction.clone() };
        add("guard negated", vec![with(Some((name.clone(), !negated)))]);
        add("guard dropped", vec![with(None)]);
        let others = scope.others(name).into_iter();
        add("guard replaced", others.map(|other| with(Some((other, *negated)))).collect());
    }

    let renamed = |word: &str| Instruction { opcode: word.into(), ..instruction.clone() };
    let mut operators: Vec<_> = substitutes(opcode, OPERATORS).into_iter().map(renamed).collect();
    operators.extend(with_modifier(instruction, MODES));
    add("operator", operators);
    let compares = matches!(opcode, "setp" | "set" | "vset");
    add("comparison", if compares { with_modifier(instruction, COMPARISONS) } else { Vec::new() });
    add("order or scope", {
        let mut found = with_modifier(instruction, ORDERS);
        found.extend(without_modifier(instruction, &["volatile"]));
        found
    });
    add("type or rounding", {
        let moves = matches!(opcode, "ld" | "st");
        let mut found = if moves { with_modifier(instruction, WIDTHS) } else { Vec::new() };
        found.extend(signs(instruction, scope));
        found.extend(with_modifier(instruction, FORMATS));
        found.extend(with_modifier(instruction, ROUNDINGS));
        found.extend(without_modifier(instruction, &["trans", "ftz", "sat"]));
        found
    });

    let either =
        instruction.modifiers.iter().any(|m| matches!(&m[..], "eq" | "ne" | "equ" | "neu"));
    let swaps =
        SWAPS.iter().filter(|(name, _)| *name == opcode && !either).flat_map(|(_, pairs)| *pairs);
    let swapped = swaps.filter_map(|&(i, j)| {
        let mut changed = instruction.clone();
        let differ = changed.operands.get(i)? != changed.operands.get(j)?;
        changed.operands.swap(i, j);
        differ.then_some(changed)
    });
    add("operands swapped", {
        let mut found: Vec<_> = swapped.collect();
        found.extend(with_operand(instruction, &exchanged));
        found
    });

    add("immediate", with_operand(instruction, &immediates));
    add("offset", with_operand(instruction, &offsets));
    add("special register", with_operand(instruction, &specials));
    let registers = |operand: &Operand| match operand {
        Operand::Name(name) => scope.others(name).into_iter().map(Operand::Name).collect(),
        Operand::Not(name) => {
            let others = scope.others(name).into_iter().map(Operand::Not);
            others.chain([Operand::Name(name.clone())]).collect()
        }
        _ => Vec::new(),
    };
    add("register", with_operand(instruction, &registers));
    if opcode == "bra" {
        let labels = |operand: &Operand| match operand {
            Operand::Name(name) => {
                let others = scope.labels.iter().filter(|label| *label != name);
                others.cloned().map(Operand::Name).collect()
            }
            _ => Vec::new(),
        };
        add("target", with_operand(instruction, &labels));
    }
    kinds
}

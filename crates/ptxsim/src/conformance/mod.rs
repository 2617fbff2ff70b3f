//! Instructions with their operands and results, to hold the simulator, or a GPU, to.
//!
//! A [`Block`] is a small kernel over one buffer: [`Block::ptx`], [`Block::memory`], [`Block::maps`] and the numbers of a launch go to
//! whoever executes it, and what the buffer holds afterwards comes back. [`Block::check`] compares that with what the PTX ISA asks for, [`Block::compare`] with
//! what somebody else made of it. Results of integer, conversion and IEEE arithmetic are compared bit by bit; those of
//! approximate functions and of floating-point tensor cores within the bounds that [`Tolerance`] states.

mod grid;
mod image;
mod product;
mod table;
mod tensor;
mod tolerance;
mod warpgroup;

pub use image::Image;
pub use tensor::Map;
pub use tolerance::{Number, Tolerance, Value};

use crate::{Argument, Finding, Launch, Memory, Module, Options, Result, run};

/// A kernel over one buffer, and what it must leave there.
#[derive(Debug, Clone)]
pub struct Block {
    /// The statements or the instruction that it is about.
    pub name: String,
    /// Which group it belongs to: `integer`, `float`, `convert`, `approximate`, `warp`, `product`,
    /// `warpgroup`, `grid`, `tensor`.
    pub group: &'static str,
    /// Blocks of its grid.
    pub grid: u32,
    /// Blocks of a cluster, which its entry asks for where it is not 1.
    pub cluster: u32,
    /// Threads of a block.
    pub threads: u32,
    /// The buffer, whose address is the kernel's first argument.
    pub memory: Vec<u8>,
    /// Tensor maps over the buffer, which are its other arguments.
    pub maps: Vec<Map>,
    /// What it leaves there.
    pub results: Vec<Expected>,
    /// Declarations and statements of the entry.
    body: String,
    /// Least compute capability, times ten.
    sm: u32,
    /// Least PTX version.
    version: (u32, u32),
}

/// One result.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Where it lies in the buffer.
    pub offset: usize,
    /// What it is.
    pub number: Number,
    /// What it must be, within `tolerance`.
    pub value: Value,
    /// How far off it may be.
    pub tolerance: Tolerance,
}

/// A result that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the block.
    pub block: String,
    /// Thread or entry, with operands where there are few.
    pub place: String,
    /// The bits that were found.
    pub found: u64,
    /// What was wanted.
    pub wanted: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}: {:#x}, not {}", self.block, self.place, self.found, self.wanted)
    }
}

/// The name of every block's entry.
pub const ENTRY: &str = "k";

impl Block {
    /// A module with the kernel for GPUs of compute capability `sm` / 10, or `None` where they lack the instruction.
    pub fn ptx(&self, sm: u32) -> Option<String> {
        let first = match sm {
            ..75 => return None,
            75..=80 => (7, 0),
            81..=86 => (7, 1),
            87 => (7, 4),
            88..=89 => (7, 8),
            90 => (8, 0),
            91..=101 => (8, 6),
            120 => (8, 7),
            102..=109 | 121 => (8, 8),
            _ => (9, 0),
        };
        // The instructions of warpgroups are those of one architecture.
        if sm < self.sm || self.group == "warpgroup" && sm != self.sm {
            return None;
        }
        let (major, minor) = self.version.max(first);
        let suffix = if sm >= 90 { "a" } else { "" };
        let maps = (0..self.maps.len()).map(|k| format!(", .param .align 64 .b8 map{k}[128]"));
        let maps: String = maps.collect();
        let cluster = match self.cluster {
            1 => String::new(),
            n => format!("\n.reqnctapercluster {n}, 1, 1"),
        };
        Some(format!(
            ".version {major}.{minor}\n.target sm_{sm}{suffix}\n.address_size 64\n\
             .visible .entry {ENTRY}(.param .u64 rows{maps}){cluster}\n{{\n{}\nret;\n}}\n",
            self.body
        ))
    }

    /// Results in `memory` that are not what they must be.
    pub fn check(&self, memory: &[u8]) -> Vec<Difference> {
        self.differences(memory, |expected| expected.value)
    }

    /// Runs its kernel, of which `ptx` is the text, on the simulator with every check on: its memory afterwards, and the findings.
    ///
    /// # Errors
    /// As [`crate::run`].
    pub fn simulate(&self, ptx: &str) -> Result<(Vec<u8>, Vec<Finding>)> {
        let module = Module::parse(ptx)?;
        let mut memory = Memory::new();
        let rows = memory.allocate("rows", self.memory.len() as u64)?;
        memory.write(rows, &self.memory)?;
        let mut arguments = vec![Argument::from(rows)];
        for map in &self.maps {
            arguments.push(map.encode(rows)?.into());
        }
        let launch = Launch {
            entry: ENTRY.into(),
            grid: [self.grid, 1, 1],
            block: [self.threads, 1, 1],
            arguments,
            ..Launch::default()
        };
        let report = run(&module, &launch, &mut memory, &Options::default())?;
        Ok((memory.read(rows, self.memory.len())?, report.findings))
    }

    /// Results in `memory` that do not agree with those in `right`, which the simulator made.
    pub fn compare(&self, right: &[u8], memory: &[u8]) -> Vec<Difference> {
        self.differences(memory, |expected| match expected.value {
            Value::Nan => Value::Nan,
            _ => Value::Bits(expected.number.read(right, expected.offset)),
        })
    }

    fn differences(&self, memory: &[u8], want: impl Fn(&Expected) -> Value) -> Vec<Difference> {
        let mut all = Vec::new();
        for (index, expected) in self.results.iter().enumerate() {
            let (value, Expected { number, tolerance, .. }) = (want(expected), expected);
            let found = number.read(memory, expected.offset);
            if !tolerance.admits(*number, value, found) {
                all.push(Difference {
                    block: self.name.clone(),
                    place: self.place(index),
                    found,
                    wanted: tolerance.describe(value),
                });
            }
        }
        all
    }

    /// Result `index` in words.
    fn place(&self, index: usize) -> String {
        if self.group == "product" || self.group == "warpgroup" {
            let threads = self.threads as usize;
            return format!("element {} of thread {}", index / threads, index % threads);
        }
        if self.group == "grid" || self.group == "tensor" {
            return format!("word {index} of what it leaves");
        }
        let operands: Vec<String> = self.memory[32 * index + 8..32 * index + 32]
            .chunks_exact(8)
            .map(|b| format!("{:#x}", Number::F64.read(b, 0)))
            .collect();
        format!("thread {index} of {}", operands.join(", "))
    }
}

/// All blocks.
pub fn blocks() -> Vec<Block> {
    let tables = [
        ("integer", include_str!("tables/integer.txt")),
        ("float", include_str!("tables/float.txt")),
        ("convert", include_str!("tables/convert.txt")),
        ("approximate", include_str!("tables/approximate.txt")),
        ("warp", include_str!("tables/warp.txt")),
    ];
    let scalar = tables.into_iter().flat_map(|(group, text)| table::blocks(group, text));
    let products = product::blocks(include_str!("tables/products.txt"));
    let launches = grid::blocks().chain(tensor::blocks());
    scalar.chain(products).chain(warpgroup::blocks()).chain(launches).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str) -> Block {
        blocks().into_iter().find(|block| block.name == name).expect(name)
    }

    /// The buffer as it must be.
    fn right(block: &Block) -> Vec<u8> {
        let mut memory = block.memory.clone();
        for expected in &block.results {
            let bits = match expected.value {
                Value::Bits(bits) => bits,
                Value::Nan => u64::MAX,
                Value::Real(x) => (x as f32).to_bits() as u64,
            };
            let bytes = expected.number.bytes();
            memory[expected.offset..][..bytes].copy_from_slice(&bits.to_le_bytes()[..bytes]);
        }
        memory
    }

    #[test]
    fn a_planted_bit_is_found_where_it_was_planted() {
        let add = block("add.u16 d, a, b;");
        let mut memory = right(&add);
        assert_eq!(add.check(&memory), []);
        memory[32] ^= 1;
        let found = add.check(&memory);
        assert_eq!(found.len(), 1);
        let text = found[0].to_string();
        assert!(text.starts_with("`add.u16 d, a, b;` thread 1 of 0x1, 0x7fff"), "{text}");
        assert_eq!(add.compare(&right(&add), &memory).len(), 1);
        assert_eq!(add.compare(&memory, &memory), []);
    }

    #[test]
    fn approximate_functions_may_differ_by_their_bound_and_no_more() {
        let exp = block("ex2.approx.f32 d, a;");
        // The first block of that name has the special values, which are exact.
        assert_eq!(exp.results[0].tolerance, Tolerance::Exact);
        let exp = blocks().into_iter().find(|b| b.group == "approximate" && b.name == exp.name);
        let exp = exp.unwrap();
        let simulated = right(&exp);
        let mut other = simulated.clone();
        let bump = |memory: &mut [u8], by: u32| {
            let bits = Number::F32.read(memory, 0) as u32 + by;
            memory[..4].copy_from_slice(&bits.to_le_bytes());
        };
        bump(&mut other, 2);
        assert_eq!(exp.compare(&simulated, &other), []);
        bump(&mut other, 1);
        assert_eq!(exp.compare(&simulated, &other).len(), 1);
    }

    #[test]
    fn tensor_cores_may_round_but_not_lose_a_product() {
        let mma = block("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32");
        let simulated = right(&mma);
        assert_eq!(mma.check(&simulated), []);
        let Expected { offset, .. } = mma.results[5];
        let x = f32::from_bits(Number::F32.read(&simulated, offset) as u32);
        let mut other = simulated.clone();
        other[offset..][..4].copy_from_slice(&(x + 1e-6).to_le_bytes());
        assert_eq!(mma.compare(&simulated, &other), []);
        other[offset..][..4].copy_from_slice(&(x + 1e-3).to_le_bytes());
        let found = mma.compare(&simulated, &other);
        assert_eq!(found.len(), 1);
        assert!(found[0].place.contains("element 0 of thread 5"), "{}", found[0].place);
    }

    #[test]
    fn modules_are_for_targets_that_have_the_instruction() {
        let packed = block("add.rn.f32x2 d, a, b;");
        assert_eq!(packed.ptx(90), None);
        assert!(packed.ptx(100).unwrap().contains(".target sm_100a"));
        assert!(
            block("add.u16 d, a, b;").ptx(75).unwrap().starts_with(".version 7.0\n.target sm_75\n")
        );
        assert_eq!(block("add.u16 d, a, b;").ptx(70), None);
        let of_warpgroups = blocks().into_iter().find(|block| block.group == "warpgroup").unwrap();
        assert_eq!([80, 90, 100].map(|sm| of_warpgroups.ptx(sm).is_some()), [false, true, false]);
    }
}

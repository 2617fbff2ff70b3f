//! Every instruction in the tables beside this file, thread by thread: results are bit by bit those that `generate.py` computed
//! from the PTX ISA with exact fractions and integers.

use ptxsim::{Argument, Launch, Memory, Module, Options};

/// Statements, the types of d, a, b, c, and rows of operands and result; `None` is any NaN.
struct Block<'a> {
    text: &'a str,
    types: Vec<u32>,
    rows: Vec<(Vec<u64>, Option<u64>)>,
}

fn blocks(table: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for line in table.lines() {
        if let Some(head) = line.strip_prefix("> ") {
            let (types, text) = head.split_once(" : ").unwrap();
            let types = types.split(' ').map(|ty| ty[1..].parse().unwrap()).collect();
            blocks.push(Block { text, types, rows: Vec::new() });
        } else {
            let (operands, result) = line.rsplit_once(' ').unwrap();
            let hex = |word| u64::from_str_radix(word, 16).unwrap();
            let result = (result != "nan").then(|| hex(result));
            blocks.last_mut().unwrap().rows.push((operands.split(' ').map(hex).collect(), result));
        }
    }
    blocks
}

/// A kernel whose thread `i` loads its operands from 32 bytes, and stores its result over the first 8 of them.
fn kernel(block: &Block) -> String {
    let names = ["d", "a", "b", "c"];
    let mut text = String::from(
        ".version 9.0\n.target sm_120a\n.address_size 64\n.visible .entry k(.param .u64 rows)\n{\n\
         .reg .b64 at, t; .reg .b32 i; .reg .pred p, q;\n",
    );
    for (name, bits) in names.iter().zip(&block.types) {
        text += &format!(".reg .b{bits} {name};\n");
    }
    text += "ld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\nmul.wide.u32 t, i, 32;\nadd.s64 at, at, t;\n";
    for (k, bits) in block.types.iter().enumerate().skip(1) {
        text += &format!("ld.global.b{bits} {}, [at+{}];\n", names[k], 8 * k);
    }
    text + &format!("{}\nst.global.b{} [at], d;\nret;\n}}\n", block.text, block.types[0])
}

fn results(block: &Block) -> Result<Vec<u64>, ptxsim::Error> {
    let module = Module::parse(&kernel(block))?;
    let mut memory = Memory::new();
    let rows = memory.allocate("rows", 32 * block.rows.len() as u64)?;
    for (i, (operands, _)) in block.rows.iter().enumerate() {
        let mut words = [0; 4];
        words[1..=operands.len()].copy_from_slice(operands);
        memory.write(rows.offset(32 * i as i64), &words.map(u64::to_le_bytes).concat())?;
    }
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [block.rows.len() as u32, 1, 1],
        arguments: vec![Argument::from(rows)],
        ..Launch::default()
    };
    let report = ptxsim::run(&module, &launch, &mut memory, &Options::default())?;
    assert!(report.findings.is_empty(), "{}: {}", block.text, report.findings[0]);
    let mask = u64::MAX >> (64 - block.types[0]);
    let read = |i: usize| {
        let bytes = memory.read(rows.offset(32 * i as i64), 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap()) & mask)
    };
    (0..block.rows.len()).map(read).collect()
}

/// Runs a table; every block must execute, every row agree.
fn conforms(table: &str, least: usize) {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for block in blocks(table) {
        match results(&block) {
            Err(error) => wrong.push(format!("{}: {error}", block.text)),
            Ok(found) => {
                for ((operands, expected), found) in block.rows.iter().zip(found) {
                    let nan = |bits: u64| match block.types[0] {
                        64 => f64::from_bits(bits).is_nan(),
                        32 => f32::from_bits(bits as u32).is_nan(),
                        _ => bits & 0x7c00 == 0x7c00 && bits & 0x3ff != 0,
                    };
                    if expected.map_or(!nan(found), |expected| found != expected) {
                        wrong.push(format!(
                            "{} of {operands:x?}: {found:x}, not {expected:x?}",
                            block.text
                        ));
                    }
                    rows += 1;
                }
            }
        }
    }
    let shown = wrong.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} mistakes:\n{shown}", wrong.len());
    assert!(rows >= least, "{rows}");
}

#[test]
fn float_arithmetic_conforms() {
    conforms(include_str!("float.txt"), 6000);
}

#[test]
fn conversions_conform() {
    conforms(include_str!("convert.txt"), 7000);
}

#[test]
fn integer_arithmetic_conforms() {
    conforms(include_str!("integer.txt"), 2400);
}

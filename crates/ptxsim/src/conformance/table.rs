//! Blocks from the tables: a row a thread.

use super::{Block, Expected, Number, Tolerance, Value};

/// The blocks of a table; its form is told in `tables/generate.py`.
///
/// # Panics
/// Where the table, which is part of this crate, is damaged.
pub(super) fn blocks(group: &'static str, table: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for line in table.lines() {
        match line.strip_prefix("> ") {
            Some(head) => blocks.push(start(group, head).expect("a head says all that it must")),
            None => {
                let block: &mut Block = blocks.last_mut().expect("a table begins with a head");
                row(block, line).expect("a row has operands and a result");
            }
        }
    }
    blocks
}

/// A block without rows: its thread `i` loads operands from 32 bytes, and stores its result over the first 8 of them.
fn start(group: &'static str, head: &str) -> Option<Block> {
    let (head, text) = head.split_once(" : ")?;
    let (head, bound) = head.split_once(" ~ ").map_or((head, None), |(h, b)| (h, Some(b)));
    let mut words = head.split(' ');
    let sm = words.next()?.parse().ok()?;
    let (major, minor) = words.next()?.split_once('.')?;
    let types: Vec<&str> = words.collect();
    let names = ["d", "a", "b", "c"];
    let mut body = String::from(".reg .b64 at, t; .reg .b32 i; .reg .pred p, q;\n");
    for (name, ty) in names.iter().zip(&types) {
        body += &format!(".reg .{ty} {name};\n");
    }
    body += "ld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\nmul.wide.u32 t, i, 32;\nadd.s64 at, at, t;\n";
    for (k, ty) in types.iter().enumerate().skip(1) {
        body += &format!("ld.global.{ty} {}, [at+{}];\n", names[k], 8 * k);
    }
    body += &format!("{text}\nst.global.{} [at], d;", types[0]);
    let bf16 = text.split(' ').next()?.ends_with(".bf16");
    let number = match (types[0], bound) {
        ("b64", _) => Number::F64,
        ("b32", _) => Number::F32,
        _ if bf16 => Number::Bf16,
        _ => Number::F16,
    };
    let tolerance = bound.map_or(Some(Tolerance::Exact), Tolerance::parse)?;
    // What rows have in common waits here until there is one.
    let pattern = Expected { offset: 0, number, value: Value::Nan, tolerance };
    Some(Block {
        name: text.into(),
        group,
        grid: 1,
        cluster: 1,
        threads: 0,
        maps: Vec::new(),
        memory: Vec::new(),
        results: vec![pattern],
        body,
        sm,
        version: (major.parse().ok()?, minor.parse().ok()?),
    })
}

fn row(block: &mut Block, line: &str) -> Option<()> {
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let (operands, result) = line.rsplit_once(' ')?;
    let mut words = [0; 4];
    for (word, operand) in words[1..].iter_mut().zip(operands.split(' ')) {
        *word = hex(operand)?;
    }
    let value = if result == "nan" { Value::Nan } else { Value::Bits(hex(result)?) };
    let Expected { number, tolerance, .. } = block.results[0];
    if block.threads == 0 {
        block.results.clear();
    }
    block.results.push(Expected { offset: block.memory.len(), number, value, tolerance });
    block.memory.extend(words.map(u64::to_le_bytes).concat());
    block.threads += 1;
    Some(())
}

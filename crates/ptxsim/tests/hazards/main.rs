//! Seeded mistakes, each beside a right twin that gives no finding.

mod barriers;
mod cluster;
mod copies;
mod global;
mod kinds;
mod memory;
mod pool;
mod proxies;
mod registers;
mod seed;
mod sends;
mod shared;
mod undefined;
mod waits;

use ptxsim::{Argument, Error, Kind, Launch, Memory, Module, Options, run};

/// Runs `body` as an entry with one pointer `%x` to 64 KiB of zeros, under several schedules; the kinds of all findings.
pub(crate) fn kinds(grid: u32, block: u32, body: &str) -> Vec<Kind> {
    let text = format!(
        ".version 8.5\n.target sm_90a\n.address_size 64\n\
         .visible .entry k(.param .u64 p)\n{{\n\
         .reg .b32 %r<20>; .reg .b64 %x, %d<20>; .reg .pred %p<9>; .reg .f32 %f<9>;\n\
         .shared .align 16 .b8 tile[4096];\n\
         ld.param.u64 %x, [p];\nmov.u32 %r0, %tid.x;\nmov.u32 %r19, %ctaid.x;\n\
         shl.b32 %r1, %r0, 2;\nmov.u32 %r2, tile;\nadd.u32 %r2, %r2, %r1;\n\
         cvt.u64.u32 %d1, %r1;\nadd.u64 %d1, %x, %d1;\n{body}\nret;\n}}\n"
    );
    let module = Module::parse(&text).unwrap();
    let mut kinds = Vec::new();
    for seed in 0..4 {
        let mut memory = Memory::new();
        let x = memory.allocate("x", 65536).unwrap();
        memory.write(x, &[0; 65536]).unwrap();
        let launch = Launch {
            entry: "k".into(),
            grid: [grid, 1, 1],
            block: [block, 1, 1],
            arguments: vec![Argument::from(x)],
            ..Launch::default()
        };
        let options = Options { seed, budget: 100_000, threads: 1, ..Options::default() };
        let found = match run(&module, &launch, &mut memory, &options) {
            Ok(report) => report.findings,
            Err(Error::Finding(finding)) => vec![*finding],
            Err(error) => panic!("{error}\n{text}"),
        };
        for finding in found {
            assert!(finding.line > 0 && finding.kernel == "k", "{finding}");
            kinds.push(finding.kind);
        }
    }
    kinds.sort();
    kinds.dedup();
    kinds
}

/// `right` gives nothing; without the line `line` of it there is a finding of `kind`, whatever the schedule.
pub(crate) fn needs(grid: u32, block: u32, right: &str, line: &str, kind: Kind) {
    assert_eq!(kinds(grid, block, right), [], "{right}");
    let wrong = right.replacen(line, "", 1);
    assert_ne!(wrong, right, "`{line}` is part of it");
    assert_eq!(kinds(grid, block, &wrong), [kind], "without `{line}`: {wrong}");
}

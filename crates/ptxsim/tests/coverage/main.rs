//! COVERAGE.md against the code: every example that it calls executed resolves, every other is refused by name.

use std::collections::BTreeSet;

use ptxsim::{Error, Module};

const TABLE: &str = include_str!("../../COVERAGE.md");

/// Instructions of PTX ISA 9.0 by its table of contents, packed video instructions by their first.
const INSTRUCTIONS: &str = "abs activemask add addc alloca and applypriority atom bar barrier bfe bfi bfind bmsk bra brev brkpt brx
    call clusterlaunchcontrol clz cnot copysign cos cp.async cp.async.bulk cp.async.bulk.tensor cp.reduce.async.bulk
    cp.reduce.async.bulk.tensor createpolicy cvt cvt.pack cvta discard div dp2a dp4a elect ex2 exit fence fma fns getctarank
    griddepcontrol isspacep istypep ld ldmatrix ldu lg2 lop3 mad mad24 madc mapa match max mbarrier membar min mma mov movmatrix mul
    mul24 multimem nanosleep neg not or pmevent popc prefetch prefetchu prmt rcp red red.async redux rem ret rsqrt sad selp set setmaxnreg
    setp shf shfl shl shr sin slct sqrt st st.async st.bulk stackrestore stacksave stmatrix sub subc suld suq sured sust szext
    tanh tcgen05 tensormap testp tex tld4 trap txq vabsdiff vadd vadd2 vadd4 vmad vmax vmin vote vset vshl vshr vsub wgmma wmma
    xor";

/// A kernel with one instruction, and all that its operands may name.
fn resolve(instruction: &str) -> Result<(), Error> {
    let text = format!(
        ".version 9.0\n.target sm_120a\n.address_size 64\n.func helper() {{\nret;\n}}\n\
         .visible .entry k()\n{{\n.reg .pred %p<8>;\n.reg .b16 %h<8>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<8>;\n\
         .reg .f32 %f<16>;\n.reg .f64 %fd<8>;\n.shared .align 1024 .b8 tile[1024];\nTARGETS: .branchtargets THERE;\n\
         {instruction};\nTHERE:\nret;\n}}\n"
    );
    Module::parse(&text)?.resolve("k").map(|_| ())
}

/// Instruction, and its executed and its refused examples.
fn rows() -> Vec<(&'static str, Vec<&'static str>, Vec<&'static str>)> {
    let examples = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect();
    let row = |line: &'static str| {
        // A bar between two predicates has no space before it.
        let cells: Vec<&str> = line.split(" |").collect();
        (cells[0].trim_matches(['|', ' ', '`']), examples(cells[1]), examples(cells[2]))
    };
    TABLE.lines().filter(|line| line.starts_with("| `")).map(row).collect()
}

#[test]
fn every_instruction_of_the_isa_is_in_the_table() {
    let listed: BTreeSet<&str> = rows().iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed, INSTRUCTIONS.split_whitespace().collect());
    for (name, executed, refused) in rows() {
        assert!(!executed.is_empty() || !refused.is_empty(), "{name} has no example");
        for example in executed.iter().chain(&refused) {
            assert!(example.starts_with(name.split('.').next().unwrap()), "{name}: {example}");
        }
    }
}

#[test]
fn what_the_table_calls_executed_resolves() {
    let failed = |example: &&str| Some(format!("{example}: {}", resolve(example).err()?));
    let wrong: Vec<String> = rows()
        .iter()
        .flat_map(|(_, executed, _)| executed.clone())
        .filter_map(|e| failed(&e))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_table_calls_refused_is_refused_by_name() {
    for example in rows().iter().flat_map(|(.., refused)| refused) {
        match resolve(example) {
            Err(Error::Unsupported { instruction, line, why, .. }) => {
                assert!(example.starts_with(&instruction), "{example}: {instruction}");
                assert!(line > 0 && !why.contains("no such"), "{example}: {why}");
            }
            other => panic!("{example}: {other:?}"),
        }
    }
}

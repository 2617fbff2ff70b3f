//! The engine, instruction by instruction: short PTX texts, and what each lane must hold afterwards.

mod barrier;
mod control;
mod counters;
mod memory;
mod misc;
mod scalar;
mod warp;

use ptxsim::{Argument, Error, Finding, Kind, Launch, Memory, Module, Options, Report};

/// A module with one entry `k` that takes the address of its output.
pub(crate) fn text(declarations: &str, body: &str) -> String {
    format!(
        ".version 8.6\n.target sm_90a\n.address_size 64\n{declarations}\n\
         .visible .entry k(.param .u64 out) {{\n\
         .reg .pred %p<8>; .reg .b16 %h<16>; .reg .b32 %r<32>; .reg .f32 %f<16>; .reg .b64 %d<32>; .reg .f64 %e<8>;\n\
         mov.u32 %r0, %tid.x; ld.param.u64 %d0, [out]; mul.wide.u32 %d1, %r0, 8; add.u64 %d1, %d0, %d1;\n\
         {body}\nret;\n}}\n"
    )
}

/// Runs a body in one block of `threads`, with 8 bytes of output a thread, which begin as zeros.
pub(crate) fn launch(
    declarations: &str,
    body: &str,
    threads: u32,
    options: &Options,
) -> Result<(Vec<u64>, Report), Error> {
    let module = Module::parse(&text(declarations, body))?;
    let mut memory = Memory::new();
    let out = memory.allocate("out", 8 * threads as u64)?;
    memory.write(out, &vec![0; 8 * threads as usize])?;
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [threads, 1, 1],
        arguments: vec![Argument::from(out)],
        ..Launch::default()
    };
    let report = ptxsim::run(&module, &launch, &mut memory, options)?;
    let bytes = memory.read(out, 8 * threads as usize)?;
    Ok((bytes.chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect(), report))
}

/// What 32 threads leave; a finding of any kind fails the test.
pub(crate) fn lanes(declarations: &str, body: &str) -> Vec<u64> {
    let (out, report) = launch(declarations, body, 32, &Options::default()).unwrap();
    assert_eq!(report.findings, [], "{body}");
    out
}

/// What ends the execution of 32 threads.
pub(crate) fn fault(declarations: &str, body: &str) -> Finding {
    match launch(declarations, body, 32, &Options::default()) {
        Err(Error::Finding(finding)) => *finding,
        other => panic!("expected a finding, not {other:?}: {body}"),
    }
}

/// The reason for which a body is not executed.
pub(crate) fn refusal(declarations: &str, body: &str) -> String {
    match launch(declarations, body, 32, &Options::default()) {
        Err(error @ Error::Unsupported { .. }) => error.to_string(),
        other => panic!("expected a refusal, not {other:?}: {body}"),
    }
}

/// The result of an instruction on constants: `operation` stores to `%r1`.
pub(crate) fn word(operation: &str) -> u32 {
    let out = lanes("", &format!("{operation} cvt.u64.u32 %d2, %r1; st.u64 [%d1], %d2;"));
    assert!(out.iter().all(|v| *v == out[0]), "{operation}");
    out[0] as u32
}

/// The result of an instruction on constants: `operation` stores to `%d2`.
pub(crate) fn double(operation: &str) -> u64 {
    lanes("", &format!("{operation} st.u64 [%d1], %d2;"))[7]
}

#[test]
fn findings_name_the_instruction_and_its_place() {
    let finding = fault("", ".loc 1 7 0\nst.u64 [%d1+256], %d0;");
    assert_eq!(finding.kind, Kind::OutOfBounds);
    assert_eq!((finding.source_line, finding.warp, finding.lanes), (7, 0, !0));
    assert_eq!(finding.instruction, "st.u64");
}

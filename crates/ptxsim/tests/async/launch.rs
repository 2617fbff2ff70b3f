//! Kernels from a body of PTX, and their runs.

use ptxsim::{Argument, Counters, Error, Finding, Kind, Launch, Memory, Module, Options, run};

/// A kernel `k` that reads at `%rd0` and writes at `%rd1`, with 1024 bytes `tile` and 64 bytes `bars` of shared memory.
pub fn kernel(body: &str) -> String {
    format!(
        ".version 8.6\n.target sm_90a\n.address_size 64\n\
         .visible .entry k(.param .u64 in, .param .u64 out)\n{{\n\
         .reg .b16 %h<8>;\n.reg .b32 %r<64>;\n.reg .b64 %rd<32>;\n.reg .pred %p<8>;\n\
         .shared .align 128 .b8 tile[1024];\n.shared .align 8 .b8 bars[64];\n\
         ld.param.u64 %rd0, [in];\nld.param.u64 %rd1, [out];\n\
         mov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\nmov.u32 %r2, bars;\n{body}\nret;\n}}\n"
    )
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    /// What was written.
    pub out: Vec<u8>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What was executed.
    pub counters: Counters,
}

impl Ran {
    /// Output as words.
    pub fn words(&self) -> Vec<u32> {
        self.out.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Kinds of the findings.
    pub fn kinds(&self) -> Vec<Kind> {
        self.findings.iter().map(|f| f.kind).collect()
    }
}

/// Runs `body` in one cluster of `blocks` blocks of `threads`; `out` bytes of output begin as zeros.
pub fn run_with(
    body: &str,
    [blocks, threads]: [u32; 2],
    input: &[u8],
    out: usize,
    options: &Options,
) -> Result<Ran, Error> {
    let module = Module::parse(&kernel(body))?;
    let mut memory = Memory::new();
    let from = memory.allocate("in", input.len() as u64)?;
    memory.write(from, input)?;
    let to = memory.allocate("out", out as u64)?;
    memory.write(to, &vec![0; out])?;
    let launch = Launch {
        entry: "k".into(),
        grid: [blocks, 1, 1],
        block: [threads, 1, 1],
        cluster: Some([blocks, 1, 1]),
        arguments: vec![Argument::from(from), Argument::from(to)],
        ..Launch::default()
    };
    let report = run(&module, &launch, &mut memory, options)?;
    Ok(Ran { out: memory.read(to, out)?, findings: report.findings, counters: report.counters })
}

/// Runs `body` in one cluster, late and at random times, which must give and count the same without a finding. Where waits give
/// up they are executed more often, which changes no result.
pub fn right(body: &str, shape: [u32; 2], input: &[u8], out: usize) -> Ran {
    let mut first: Option<Ran> = None;
    for seed in 0..6 {
        let give_up = seed > 3;
        let options = Options { seed, late: seed % 2 == 0, give_up, ..Options::default() };
        let ran = run_with(body, shape, input, out, &options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(ran.findings, [], "seed {seed}");
        if let Some(first) = &first {
            assert_eq!(first.out, ran.out, "seed {seed}");
            assert!(give_up || first.counters == ran.counters, "counters at seed {seed}");
        }
        first.get_or_insert(ran);
    }
    first.expect("seeds were run")
}

/// The finding that ends a run of `body`.
pub fn fault(body: &str, shape: [u32; 2], input: &[u8]) -> Finding {
    match run_with(body, shape, input, 4096, &Options::default()) {
        Err(Error::Finding(finding)) => *finding,
        other => panic!("{other:?}"),
    }
}

/// Why an instruction is refused.
pub fn refusal(instruction: &str) -> String {
    let module = Module::parse(&kernel(instruction)).unwrap_or_else(|e| panic!("{e}"));
    match module.resolve("k") {
        Err(Error::Unsupported { why, .. }) => why,
        other => panic!("{instruction} is not refused: {other:?}"),
    }
}

/// Bytes that differ from each other and from 0.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 37 + i / 256 * 11 + 1) as u8 | 1).collect()
}

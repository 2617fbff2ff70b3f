//! Warp instructions per second on kernels of the corpus, without and with checks, on one host thread.
//!
//! Criterion's throughput "elements" are warp instructions: `cargo bench -p ptxsim`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ptxsim::{Argument, Checks, Launch, Memory, Module, Options};

/// A kernel of the corpus with buffers of floats and integers.
struct Case {
    file: &'static str,
    entry: &'static str,
    grid: [u32; 3],
    block: [u32; 3],
    /// Lengths of buffers, in words.
    buffers: &'static [usize],
    scalars: Vec<Argument>,
}

fn cases() -> Vec<Case> {
    let ints = |values: &[i32]| values.iter().map(|v| Argument::from(*v)).collect::<Vec<_>>();
    let case = |file, entry, blocks, threads, buffers, scalars| Case {
        file,
        entry,
        grid: blocks,
        block: [threads, 1, 1],
        buffers,
        scalars,
    };
    vec![
        case(
            "sgemm",
            "sgemm_registers",
            [1, 2, 1],
            256,
            &[128 * 256, 256 * 64, 128 * 64],
            ints(&[128, 64, 256]),
        ),
        case("network", "softmax_block", [8, 1, 1], 256, &[8 * 1000, 8 * 1000], ints(&[1000])),
        case("reduce", "reduce_shuffle", [8, 1, 1], 256, &[16384, 64], ints(&[8192])),
        case("linear", "saxpy_vector", [8, 1, 1], 256, &[16384, 16384], vec![]),
    ]
}

fn instructions(c: &mut Criterion) {
    for case in cases() {
        let path = format!("{}/corpus/{}.ptx", env!("CARGO_MANIFEST_DIR"), case.file);
        let text = std::fs::read_to_string(path).expect("the corpus is part of the crate");
        let module = Module::parse(&text).expect("the corpus is taken apart by tests");
        let mut memory = Memory::new();
        let mut arguments = Vec::new();
        for (k, words) in case.buffers.iter().enumerate() {
            let pointer =
                memory.allocate(&format!("buffer {k}"), 4 * *words as u64).expect("it is short");
            let values: Vec<u8> =
                (0..*words).flat_map(|i| ((i % 251) as f32 * 0.01).to_le_bytes()).collect();
            memory.write(pointer, &values).expect("it fits");
            arguments.push(Argument::from(pointer));
        }
        if case.entry == "saxpy_vector" {
            arguments.insert(0, Argument::from(2.5f32));
            arguments.push(Argument::from(4096i32));
        }
        arguments.extend(case.scalars.clone());
        let launch = Launch {
            entry: case.entry.into(),
            grid: case.grid,
            block: case.block,
            arguments,
            ..Launch::default()
        };
        let mut group = c.benchmark_group(case.entry);
        for (name, checks) in [("plain", Checks::none()), ("checked", Checks::all())] {
            let options = Options { checks, threads: 1, ..Options::default() };
            let report = ptxsim::run(&module, &launch, &mut memory, &options)
                .unwrap_or_else(|error| panic!("{}: {error}", case.entry));
            group.throughput(Throughput::Elements(report.counters.warp_instructions));
            group.bench_function(name, |b| {
                b.iter(|| {
                    ptxsim::run(&module, &launch, &mut memory, &options).expect("it ran before")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, instructions);
criterion_main!(benches);

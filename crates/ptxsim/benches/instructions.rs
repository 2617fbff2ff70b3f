//! Warp instructions per second on kernels of the corpus, on one host thread: plain, with all checks, and with each kind of
//! check alone.
//!
//! Criterion's throughput "elements" are warp instructions: `cargo bench -p ptxsim`, or `cargo bench -p ptxsim -- gemm_mma` for
//! one kernel. Each kernel is a group, so that its lines stand beside each other.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Argument, Checks, Launch, Memory, Module, Options, TensorMap};

/// What a kernel gets.
enum Given {
    /// A buffer of so many floats.
    Floats(usize),
    /// A buffer of so many bf16 numbers.
    Halves(usize),
    /// A tensor map of the buffer before, which kernels do not get: bf16 in rows of so many, in tiles of so many rows of 64, with a
    /// swizzle of 128 bytes.
    Map { columns: usize, rows: usize, tile_rows: u32 },
    /// A number.
    Scalar(Argument),
}

/// A kernel of the corpus.
struct Case {
    file: &'static str,
    launch: Launch,
    given: Vec<Given>,
}

fn case(
    file: &'static str,
    entry: &str,
    grid: [u32; 2],
    (block, shared): (u32, u32),
    given: Vec<Given>,
) -> Case {
    let [x, y] = grid;
    let (entry, grid, block) = (entry.into(), [x, y, 1], [block, 1, 1]);
    Case { file, launch: Launch { entry, grid, block, shared, ..Launch::default() }, given }
}

fn cases() -> Vec<Case> {
    use Given::{Floats, Halves, Map};
    let int = |value: i32| Given::Scalar(value.into());
    let float = |value: f32| Given::Scalar(value.into());
    // C = A·Bᵀ in bf16, k = 256; in tiles of 128×128 whose k goes by 32 through a ring of three, or by 64 through one of four.
    let (m, n, k) = (128usize, 128usize, 256usize);
    let map = |rows: usize| Map { columns: k, rows, tile_rows: 128 };
    vec![
        case(
            "sgemm",
            "sgemm_registers",
            [1, 2],
            (256, 0),
            vec![
                Floats(128 * 256),
                Floats(256 * 64),
                Floats(128 * 64),
                int(128),
                int(64),
                int(256),
            ],
        ),
        case(
            "network",
            "softmax_block",
            [8, 1],
            (256, 0),
            vec![Floats(8 * 1000), Floats(8 * 1000), int(1000)],
        ),
        case(
            "reduce",
            "reduce_shuffle",
            [8, 1],
            (256, 0),
            vec![Floats(16384), Floats(64), int(8192)],
        ),
        case(
            "linear",
            "saxpy_vector",
            [8, 1],
            (256, 0),
            vec![float(2.5), Floats(16384), Floats(16384), int(4096)],
        ),
        case(
            "network",
            "quantize_rows",
            [8, 1],
            (32, 0),
            vec![Floats(8 * 1000), Floats(2 * 1000), Floats(8), int(1000)],
        ),
        case(
            "gemm_mma",
            "gemm_mma",
            [1, 1],
            (256, 3 * 2 * 128 * 32 * 2),
            vec![
                Halves(m * k),
                Halves(n * k),
                Halves(m * n),
                int(m as i32),
                int(n as i32),
                int(k as i32),
            ],
        ),
        case(
            "gemm_wgmma",
            "gemm_wgmma",
            [1, 1],
            (384, 4 * 2 * 128 * 64 * 2 + 1024),
            vec![
                Halves(m * k),
                map(m),
                Halves(n * k),
                map(n),
                Halves(m * n),
                int(n as i32),
                int(k as i32),
            ],
        ),
    ]
}

/// Fills the memory of a kernel: its arguments.
fn arguments(given: &[Given], memory: &mut Memory) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let mut last = None;
    for given in given {
        let number = |i: usize| (i % 251) as f32 * 0.01;
        let content: Vec<u8> = match given {
            Given::Floats(count) => (0..*count).flat_map(|i| number(i).to_le_bytes()).collect(),
            Given::Halves(count) => (0..*count)
                .flat_map(|i| ((number(i).to_bits() >> 16) as u16).to_le_bytes())
                .collect(),
            Given::Map { columns, rows, tile_rows } => {
                arguments.pop();
                let map = TensorMap::encode(&Tiled {
                    element: ElementType::Bf16,
                    address: last.expect("a map is of the buffer before it"),
                    dims: vec![*columns as u64, *rows as u64],
                    strides: vec![2 * *columns as u64],
                    tile: vec![64, *tile_rows],
                    element_strides: Vec::new(),
                    swizzle: Swizzle::B128,
                    fill_nan: false,
                });
                arguments.push(map.expect("its strides are multiples of 16").into());
                continue;
            }
            Given::Scalar(value) => {
                arguments.push(value.clone());
                continue;
            }
        };
        let name = format!("buffer {}", arguments.len());
        let pointer = memory.allocate(&name, content.len() as u64).expect("it is short");
        memory.write(pointer, &content).expect("it fits");
        arguments.push(pointer.into());
        last = Some(pointer);
    }
    arguments
}

fn instructions(c: &mut Criterion) {
    let none = Checks::none();
    let checks = [
        ("plain", none),
        ("checked", Checks::all()),
        ("memory", Checks { memory: true, ..none }),
        ("registers", Checks { registers: true, ..none }),
        ("races", Checks { races: true, ..none }),
        ("proxies", Checks { proxies: true, ..none }),
    ];
    for Case { file, launch, given } in cases() {
        let path = format!("{}/corpus/{file}.ptx", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the corpus is part of the crate");
        let module = Module::parse(&text).expect("the corpus is taken apart by tests");
        let mut memory = Memory::new();
        let launch = Launch { arguments: arguments(&given, &mut memory), ..launch };
        let mut group = c.benchmark_group(&launch.entry);
        for (name, checks) in checks {
            let options = Options { checks, threads: 1, ..Options::default() };
            let report = ptxsim::run(&module, &launch, &mut memory, &options)
                .unwrap_or_else(|error| panic!("{}: {error}", launch.entry));
            assert_eq!(report.findings, [], "{}", launch.entry);
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

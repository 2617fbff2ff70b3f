//! Kernels that NVRTC compiled: products fed by cp.async and by TMA, in `corpus/`.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Argument, Counters, Launch, Memory, Module, Options, Pointer, TensorMap, run};

/// Seeded bf16 numbers of moderate size.
fn numbers(count: usize, seed: u64) -> Vec<u16> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as u16 & 0x80ff | 0x3f00
    };
    (0..count).map(next).collect()
}

fn wide(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

fn put(memory: &mut Memory, name: &str, halves: &[u16]) -> Pointer {
    let bytes: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
    let pointer = memory.allocate(name, bytes.len() as u64).unwrap();
    memory.write(pointer, &bytes).unwrap();
    pointer
}

fn halves(memory: &Memory, pointer: Pointer, count: usize) -> Vec<u16> {
    let bytes = memory.read(pointer, 2 * count).unwrap();
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Runs late and at random times, on one and two host threads, without any finding and with the same counters: those.
fn run_right(module: &Module, launch: &Launch, memory: &mut Memory) -> Counters {
    let mut counters = None;
    for seed in 0..4 {
        let threads = 1 + seed as usize % 2;
        let options = Options { seed, late: seed < 2, threads, ..Options::default() };
        let report = run(module, launch, memory, &options)
            .unwrap_or_else(|e| panic!("{}: {e}", launch.entry));
        assert_eq!(report.findings, [], "{}", launch.entry);
        assert_eq!(*counters.get_or_insert_with(|| report.counters.clone()), report.counters);
    }
    let options = Options { seed: 9, late: false, give_up: true, ..Options::default() };
    let report = run(module, launch, memory, &options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.findings, [], "{}", launch.entry);
    counters.expect("it ran")
}

/// Holds C = A·Bᵀ in bf16 to sums in `f64`.
fn compare([m, n, k]: [usize; 3], a: &[u16], b: &[u16], c: &[u16]) {
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut size) = (0.0, 0.0);
            for p in 0..k {
                let product = wide(a[i * k + p]) as f64 * wide(b[j * k + p]) as f64;
                sum += product;
                size += product.abs();
            }
            let error = (wide(c[i * n + j]) as f64 - sum).abs();
            let allowed = k as f64 * 2f64.powi(-23) * size + sum.abs() * 2f64.powi(-8);
            assert!(error <= allowed, "{i} {j}: {} {sum}", wide(c[i * n + j]));
        }
    }
}

#[test]
fn a_product_fed_by_cp_async_is_right() {
    let module = Module::parse(include_str!("../../corpus/gemm_mma.ptx")).unwrap();
    let [m, n, k] = [128, 256, 96];
    let (a, b) = (numbers(m * k, 1), numbers(n * k, 2));
    let mut memory = Memory::new();
    let (pa, pb) = (put(&mut memory, "a", &a), put(&mut memory, "b", &b));
    let pc = memory.allocate("c", 2 * (m * n) as u64).unwrap();
    let sizes = [m, n, k].map(|x| Argument::from(x as i32));
    let launch = Launch {
        entry: "gemm_mma".into(),
        grid: [n as u32 / 128, m as u32 / 128, 1],
        block: [256, 1, 1],
        shared: 3 * 128 * 32 * 2 * 2,
        arguments: [pa, pb, pc].map(Argument::from).into_iter().chain(sizes).collect(),
        ..Launch::default()
    };
    let counters = run_right(&module, &launch, &mut memory);
    compare([m, n, k], &a, &b, &halves(&memory, pc, m * n));
    let [flops, products] = [2 * m * n * k, m / 16 * n / 8 * k / 16].map(|x| x as u64);
    assert_eq!(counters.get("tensor_flops"), flops);
    assert_eq!(counters.get("tensor_flops_m16n8k16.f32.bf16.bf16.f32"), flops);
    assert_eq!(counters.get("tensor_instructions_m16n8k16.f32.bf16.bf16.f32"), products);
    assert_eq!(counters.get("warp_tensor"), products);
    // Each block of 128×128 copies its rows of A and of B, 16 bytes a lane, whole sectors.
    let copied = (m / 128 * n / 128 * (128 + 128) * k * 2) as u64;
    assert_eq!(counters.get("cp_async_bytes"), copied);
    assert_eq!(counters.get("cp_async_shared_bytes"), copied);
    assert_eq!(counters.get("cp_async_sectors"), copied / 32);
    assert_eq!(counters.get("cp_async_ideal_sectors"), copied / 32);
    // A line of 64 bytes in shared memory takes half a line of 128 in global memory, of a row of 192.
    assert!(counters.get("cp_async_lines") >= copied / 128);
    assert_eq!(counters.get("cp_async_conflicts"), 0, "its tiles are swizzled");
    assert_eq!(counters.get("shared_load_conflicts"), 0, "so ldmatrix has none either");
    assert_eq!(counters.get("global_store_bytes"), 2 * (m * n) as u64);
    assert_eq!(counters.get("global_load_bytes"), 0, "nothing is loaded by lanes");
}

/// A map of rows of `columns` bf16 numbers, in tiles of 64 columns.
fn map(
    address: Pointer,
    columns: usize,
    rows: usize,
    tile_rows: u32,
    swizzle: Swizzle,
) -> TensorMap {
    TensorMap::encode(&Tiled {
        element: ElementType::Bf16,
        address,
        dims: vec![columns as u64, rows as u64],
        strides: vec![2 * columns as u64],
        tile: vec![64, tile_rows],
        element_strides: vec![],
        swizzle,
        fill_nan: false,
    })
    .unwrap()
}

#[test]
fn products_by_warpgroups_fed_by_tma_are_right() {
    let module = Module::parse(include_str!("../../corpus/gemm_wgmma.ptx")).unwrap();
    for (entry, blocks) in [("gemm_wgmma", 1), ("gemm_wgmma_cl2", 2)] {
        let [m, n, k] = [256, 128, 320];
        let (a, b) = (numbers(m * k, 3), numbers(n * k, 4));
        let mut memory = Memory::new();
        let (pa, pb) = (put(&mut memory, "a", &a), put(&mut memory, "b", &b));
        let pc = memory.allocate("c", 2 * (m * n) as u64).unwrap();
        let launch = Launch {
            entry: entry.into(),
            grid: [m as u32 / 128, n as u32 / 128, 1],
            block: [384, 1, 1],
            shared: 4 * 32768 + 1024,
            arguments: vec![
                map(pa, k, m, 128, Swizzle::B128).into(),
                map(pb, k, n, 128 / blocks, Swizzle::B128).into(),
                pc.into(),
                (n as i32).into(),
                (k as i32).into(),
            ],
            ..Launch::default()
        };
        let counters = run_right(&module, &launch, &mut memory);
        compare([m, n, k], &a, &b, &halves(&memory, pc, m * n));
        assert_eq!(counters.get("tensor_flops"), 2 * (m * n * k) as u64);
        // Two blocks of 128 rows of A; B's 128 rows come to both, and are read once where they are multicast.
        let row = 2 * k as u64;
        assert_eq!(counters.get("tma_load_bytes"), (2 * 128 + 2 * 128 / blocks as u64) * row);
        assert_eq!(counters.get("tma_shared_write_bytes"), 2 * (128 + 128) * row);
        assert_eq!(counters.get("tma_store_bytes") + counters.get("bulk_load_bytes"), 0);
        // Products of 64 rows read their A once, and 128 rows of B.
        let groups = (m / 64) as u64;
        assert_eq!(counters.get("wgmma_shared_bytes"), groups * (64 + 128) * row);
        assert_eq!(counters.get("cluster_barriers") > 0, blocks == 2);
        assert!(counters.get("mbarrier_waits") > 0 && counters.get("mbarrier_arrivals") > 0);
    }
}

#[test]
fn tiles_stored_by_tma_arrive() {
    let module = Module::parse(include_str!("../../corpus/tma_store.ptx")).unwrap();
    let mut memory = Memory::new();
    let pc = memory.allocate("c", 2 * 128 * 64).unwrap();
    let launch = Launch {
        entry: "tma_store".into(),
        grid: [2, 1, 1],
        block: [128, 1, 1],
        arguments: vec![map(pc, 64, 128, 64, Swizzle::None).into(), 2f32.into()],
        ..Launch::default()
    };
    let counters = run_right(&module, &launch, &mut memory);
    assert_eq!(counters.get("tma_store_bytes"), 2 * 128 * 64);
    assert_eq!(counters.get("tma_shared_read_bytes"), 2 * 128 * 64);
    for (at, half) in halves(&memory, pc, 128 * 64).into_iter().enumerate() {
        assert_eq!(wide(half), 2.0 * (at % 64) as f32);
    }
}

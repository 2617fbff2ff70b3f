//! Kernels that NVRTC compiled, in `corpus/`: products by mma.sync, by wmma and by wgmma.

use ptxsim::tensor::element::Element;
use ptxsim::{Argument, Launch, Memory, Module, Options, Pointer, run};

struct Random(u64);

impl Random {
    /// Bits of a 16-bit number of moderate size.
    fn next(&mut self, element: Element) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let x = (self.0 >> 16) as u16;
        if element == Element::Bf16 { x & 0x80ff | 0x3f00 } else { x & 0x83ff | 0x3800 }
    }

    fn matrix(&mut self, element: Element, count: usize) -> Vec<u16> {
        (0..count).map(|_| self.next(element)).collect()
    }
}

fn bytes(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|h| h.to_le_bytes()).collect()
}

fn put(memory: &mut Memory, name: &str, content: &[u8]) -> Pointer {
    let pointer = memory.allocate(name, content.len() as u64).unwrap();
    memory.write(pointer, content).unwrap();
    pointer
}

/// Runs without any finding, and returns the floats at `c`.
fn floats(
    module: &Module,
    launch: &Launch,
    memory: &mut Memory,
    c: Pointer,
    count: usize,
) -> Vec<f32> {
    for seed in 1..3 {
        let options = Options { seed, late: seed == 1, ..Options::default() };
        let report = run(module, launch, memory, &options)
            .unwrap_or_else(|e| panic!("{}: {e}", launch.entry));
        assert_eq!(report.findings, [], "{}", launch.entry);
    }
    let read = memory.read(c, 4 * count).unwrap();
    read.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Compares with sums in `f64`; A is m×k, B is k×n by the index functions.
#[allow(clippy::too_many_arguments)]
fn compare(
    element: Element,
    [m, n, k]: [usize; 3],
    a: &[u16],
    b: &[u16],
    a_at: impl Fn(usize, usize) -> usize,
    b_at: impl Fn(usize, usize) -> usize,
    scale: f64,
    c: &[f32],
) {
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut size) = (0.0, 0.0);
            for p in 0..k {
                let wide = |bits: u16| element.widen(bits as u32) as f64;
                let product = wide(a[a_at(i, p)]) * wide(b[b_at(p, j)]);
                sum += product;
                size += product.abs();
            }
            let error = (c[i * n + j] as f64 - scale * sum).abs();
            assert!(
                error <= 1.01 * k as f64 * 2f64.powi(-24) * size * scale,
                "{i} {j}: {} {sum}",
                c[i * n + j]
            );
        }
    }
}

#[test]
fn a_product_by_mma_sync_is_right() {
    let module = Module::parse(include_str!("../../corpus/matrix_gemm.ptx")).unwrap();
    let (m, n, k) = (64, 96, 80);
    let mut random = Random(0x853c_49e6_748f_ea9b);
    let (a, b) = (random.matrix(Element::Bf16, m * k), random.matrix(Element::Bf16, k * n));
    let mut memory = Memory::new();
    let (pa, pb) = (put(&mut memory, "a", &bytes(&a)), put(&mut memory, "b", &bytes(&b)));
    let pc = memory.allocate("c", 4 * (m * n) as u64).unwrap();
    let sizes = [m, n, k].map(|x| Argument::from(x as i32));
    let launch = Launch {
        entry: "matrix_gemm".into(),
        grid: [n as u32 / 32, m as u32 / 32, 1],
        block: [128, 1, 1],
        arguments: [pa, pb, pc].map(Argument::from).into_iter().chain(sizes).collect(),
        ..Launch::default()
    };
    let c = floats(&module, &launch, &mut memory, pc, m * n);
    compare(Element::Bf16, [m, n, k], &a, &b, |i, p| i * k + p, |p, j| p * n + j, 1.0, &c);
}

#[test]
fn a_product_by_the_wmma_interface_is_right() {
    let module = Module::parse(include_str!("../../corpus/matrix_wmma.ptx")).unwrap();
    let (m, n, k) = (32, 48, 64);
    let mut random = Random(0xda3e_39cb_94b9_5bdb);
    let (a, b) = (random.matrix(Element::F16, m * k), random.matrix(Element::F16, k * n));
    let mut memory = Memory::new();
    let (pa, pb) = (put(&mut memory, "a", &bytes(&a)), put(&mut memory, "b", &bytes(&b)));
    let pc = memory.allocate("c", 4 * (m * n) as u64).unwrap();
    let sizes = [m, n, k].map(|x| Argument::from(x as i32));
    let mut arguments: Vec<Argument> =
        [pa, pb, pc].map(Argument::from).into_iter().chain(sizes).collect();
    arguments.push(Argument::from(0.5f32));
    let launch = Launch {
        entry: "matrix_wmma".into(),
        grid: [n as u32 / 16, m as u32 / 16, 1],
        block: [32, 1, 1],
        arguments,
        ..Launch::default()
    };
    let c = floats(&module, &launch, &mut memory, pc, m * n);
    compare(Element::F16, [m, n, k], &a, &b, |i, p| i * k + p, |p, j| j * k + p, 0.5, &c);
}

/// Where element (line, p) of a 64×64 matrix of 16-bit elements lies, and the descriptor's fields; by the canonical layouts of
/// PTX ISA 9.7.15.5.1.2.1.3. A step of 16 along k adds `step` bytes.
struct Image {
    transposed: bool,
    width: usize,
    leading: usize,
    stride: usize,
    step: usize,
}

impl Image {
    fn new(transposed: bool, width: usize) -> Image {
        let (leading, stride, step) = match (transposed, width) {
            (false, 16) => (1024, 128, 2048),
            // Atoms of 8 lines follow each other down the lines; the next `width` bytes of k come after all of them.
            (false, _) => (16, 8 * width, if width == 32 { 64 * 32 } else { 32 }),
            (true, 16) => (1024, 128, 2048),
            (true, _) => (64 * width, 8 * width, 16 * width),
        };
        Image { transposed, width, leading, stride, step }
    }

    fn at(&self, line: usize, p: usize) -> usize {
        let Image { width, leading, stride, .. } = *self;
        let linear = match (self.transposed, width) {
            (false, 16) => line % 8 * 16 + line / 8 * stride + p % 8 * 2 + p / 8 * leading,
            (false, _) => line * width + p * 2 % width + p * 2 / width * 64 * width,
            (true, 16) => line % 8 * 2 + line / 8 * stride + p % 8 * 16 + p / 8 * leading,
            (true, _) => {
                line * 2 % width + line * 2 / width * leading + p % 8 * width + p / 8 * stride
            }
        };
        let bits = (width / 16).ilog2() as usize;
        (0..bits).fold(linear, |a, bit| a ^ ((linear >> (7 + bit) & 1) << (4 + bit)))
    }

    fn descriptor(&self) -> u64 {
        let code = [0, 3, 2, 1][(self.width / 16).ilog2() as usize];
        (self.leading as u64 >> 4) << 16 | (self.stride as u64 >> 4) << 32 | code << 62
    }

    /// Step along k, but for 64 bytes, where two steps are in a row and the third begins the next atoms.
    fn steps_evenly(&self) -> bool {
        self.transposed || self.width != 64
    }

    fn fill(&self, matrix: &[u16]) -> Vec<u8> {
        let mut image = vec![0; 8192];
        for (i, x) in matrix.iter().enumerate() {
            image[self.at(i / 64, i % 64)..][..2].copy_from_slice(&x.to_le_bytes());
        }
        image
    }
}

#[test]
fn products_by_wgmma_are_right_in_both_majors_and_all_swizzles() {
    let module = Module::parse(include_str!("../../corpus/wgmma_tiles.ptx")).unwrap();
    let mut random = Random(0xcbf2_9ce4_8422_2325);
    let (a, b) = (random.matrix(Element::Bf16, 4096), random.matrix(Element::Bf16, 4096));
    for (entry, ta, tb) in [
        ("wgmma_kk", false, false),
        ("wgmma_mk", true, false),
        ("wgmma_kn", false, true),
        ("wgmma_mn", true, true),
    ] {
        for (wa, wb) in [(16, 16), (32, 128), (128, 32), (64, 16), (16, 64), (128, 128), (64, 64)] {
            let images = [Image::new(ta, wa), Image::new(tb, wb)];
            if images.iter().any(|i| !i.steps_evenly()) {
                continue;
            }
            let mut memory = Memory::new();
            let image = [images[0].fill(&a), images[1].fill(&b)].concat();
            let pi = put(&mut memory, "image", &image);
            let pc = memory.allocate("out", 4 * 4096).unwrap();
            let launch = Launch {
                entry: entry.into(),
                grid: [1; 3],
                block: [128, 1, 1],
                shared: image.len() as u32,
                arguments: vec![
                    Argument::from(pi),
                    Argument::from(image.len() as u32),
                    Argument::from(8192u32),
                    Argument::from(images[0].descriptor()),
                    Argument::from(images[1].descriptor()),
                    Argument::from(images[0].step as u32),
                    Argument::from(images[1].step as u32),
                    Argument::from(pc),
                ],
                ..Launch::default()
            };
            let c = floats(&module, &launch, &mut memory, pc, 4096);
            compare(Element::Bf16, [64; 3], &a, &b, |i, p| i * 64 + p, |p, j| j * 64 + p, 1.0, &c);
        }
    }
}

#[test]
fn products_by_wgmma_with_a_in_registers_are_right() {
    let module = Module::parse(include_str!("../../corpus/wgmma_tiles.ptx")).unwrap();
    let mut random = Random(0x1000_0000_01b3);
    let (a, b) = (random.matrix(Element::Bf16, 4096), random.matrix(Element::Bf16, 4096));
    for (entry, transposed) in [("wgmma_rk", false), ("wgmma_rn", true)] {
        for width in [16, 32, 128] {
            let image = Image::new(transposed, width);
            let mut memory = Memory::new();
            let pa = put(&mut memory, "a", &bytes(&a));
            let pi = put(&mut memory, "image", &image.fill(&b));
            let pc = memory.allocate("out", 4 * 4096).unwrap();
            let launch = Launch {
                entry: entry.into(),
                grid: [1; 3],
                block: [128, 1, 1],
                shared: 8192,
                arguments: vec![
                    Argument::from(pa),
                    Argument::from(pi),
                    Argument::from(8192u32),
                    Argument::from(image.descriptor()),
                    Argument::from(image.step as u32),
                    Argument::from(pc),
                ],
                ..Launch::default()
            };
            let c = floats(&module, &launch, &mut memory, pc, 4096);
            compare(Element::Bf16, [64; 3], &a, &b, |i, p| i * 64 + p, |p, j| j * 64 + p, 1.0, &c);
        }
    }
}

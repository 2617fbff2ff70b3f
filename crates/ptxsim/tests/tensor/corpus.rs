//! Kernels that NVRTC compiled, in `corpus/wgmma_tiles.ptx`: products by wgmma whose operands lie in every layout.

use ptxsim::{Argument, Launch, Memory, Module, Options, Pointer, run};

struct Random(u64);

impl Random {
    /// Bits of a bf16 number of moderate size.
    fn next(&mut self) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u16 & 0x80ff | 0x3f00
    }

    /// A matrix of 64×64.
    fn matrix(&mut self) -> Vec<u16> {
        (0..4096).map(|_| self.next()).collect()
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

/// Compares C = A·Bᵀ of 64×64 matrices with sums in `f64`.
fn compare(a: &[u16], b: &[u16], c: &[f32]) {
    let wide = |bits: u16| f32::from_bits((bits as u32) << 16) as f64;
    for (at, found) in c.iter().enumerate() {
        let (i, j) = (at / 64, at % 64);
        let products = (0..64).map(|p| wide(a[i * 64 + p]) * wide(b[j * 64 + p]));
        let (sum, size) = products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
        let error = (*found as f64 - sum).abs();
        assert!(error <= 64.64 * 2f64.powi(-24) * size, "{i} {j}: {found} {sum}");
    }
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
    let (a, b) = (random.matrix(), random.matrix());
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
            compare(&a, &b, &c);
        }
    }
}

#[test]
fn products_by_wgmma_with_a_in_registers_are_right() {
    let module = Module::parse(include_str!("../../corpus/wgmma_tiles.ptx")).unwrap();
    let mut random = Random(0x1000_0000_01b3);
    let (a, b) = (random.matrix(), random.matrix());
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
            compare(&a, &b, &c);
        }
    }
}

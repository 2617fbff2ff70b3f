//! Columns for im2col against the textbook's convolution: which input each output, tap and channel takes.

use ptxsim::tensor::map::{ElementType, Im2col};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{
    Argument, Error, Finding, Kind, Launch, Memory, Module, Options, Pointer, TensorMap, run,
};

use crate::bulk::{WAIT_AND_COPY, loading};

/// A convolution: along W, H, D the input, the filter, and its padding, step and dilation.
#[derive(Debug, Clone, Copy)]
struct Convolution<'a> {
    images: usize,
    channels: usize,
    sides: &'a [usize],
    filter: &'a [usize],
    padding: &'a [usize],
    step: &'a [usize],
    dilation: &'a [usize],
}

impl Convolution<'_> {
    /// Outputs along W, H, D: the formula of every framework.
    fn outputs(&self) -> Vec<usize> {
        let along = |k: usize| {
            let reach = self.dilation[k] * (self.filter[k] - 1);
            (self.sides[k] + 2 * self.padding[k] - reach - 1) / self.step[k] + 1
        };
        (0..self.sides.len()).map(along).collect()
    }

    /// The input that output `number` of all images takes for a tap, as index among pixels; nothing where it is padding, or where
    /// there is no such output.
    fn input(&self, mut number: usize, tap: &[usize]) -> Option<usize> {
        let (mut pixel, mut stride) = (0, 1);
        for (k, count) in self.outputs().into_iter().enumerate() {
            let padded = number % count * self.step[k] + tap[k] * self.dilation[k];
            number /= count;
            let index = padded.checked_sub(self.padding[k]).filter(|i| *i < self.sides[k])?;
            pixel += stride * index;
            stride *= self.sides[k];
        }
        (number < self.images).then_some(pixel + stride * number)
    }

    /// The map of columns of `pixels` with `channels`.
    fn map(&self, element: ElementType, channels: u32, pixels: u32, swizzle: Swizzle) -> Im2col {
        let size = element.bytes() as u64;
        let mut dims = vec![self.channels as u64];
        dims.extend(self.sides.iter().map(|side| *side as u64));
        dims.push(self.images as u64);
        let mut strides = vec![dims[0] * size];
        for dim in &dims[1..dims.len() - 1] {
            strides.push(strides[strides.len() - 1] * dim);
        }
        let whole = |k: usize| (self.dilation[k] * (self.filter[k] - 1)) as i32;
        let along = 0..self.sides.len();
        let step = self.step.iter().map(|step| *step as u32);
        Im2col {
            element,
            address: Pointer(0),
            dims,
            strides,
            lower: along.clone().map(|k| -(self.padding[k] as i32)).collect(),
            upper: along.map(|k| self.padding[k] as i32 - whole(k)).collect(),
            channels,
            pixels,
            element_strides: std::iter::once(1).chain(step).chain([1]).collect(),
            swizzle,
            fill_nan: false,
        }
    }

    /// The instruction's coordinates and offsets for the column that begins with output `number`, at a tap.
    fn operands(&self, channel: usize, mut number: usize, tap: &[usize]) -> (String, String) {
        let mut at = vec![channel.to_string()];
        for (k, count) in self.outputs().into_iter().enumerate() {
            at.push(
                (number % count * self.step[k])
                    .wrapping_sub(self.padding[k])
                    .cast_signed()
                    .to_string(),
            );
            number /= count;
        }
        at.push(number.to_string());
        let tap: Vec<String> =
            tap.iter().zip(self.dilation).map(|(t, by)| (t * by).to_string()).collect();
        (at.join(", "), tap.join(", "))
    }
}

/// Loads a column; all bytes of it, and what was found.
fn load(
    c: &Im2col,
    bytes: &[u8],
    at: &str,
    offsets: &str,
) -> Result<(Vec<u8>, Vec<Finding>), Error> {
    let mut memory = Memory::new();
    let address = memory.allocate("tensor", bytes.len() as u64)?;
    memory.write(address, bytes)?;
    let map = TensorMap::encode_im2col(&Im2col { address, ..c.clone() })?;
    let len = map.tile_bytes();
    let out = memory.allocate("out", len as u64)?;
    memory.write(out, &vec![0; len])?;
    let rank = c.dims.len();
    let load = format!(
        "cp.async.bulk.tensor.{rank}d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes \
         [%r1], [%rd3, {{{at}}}], [%r2], {{{offsets}}};\n\
         cp.async.bulk.prefetch.tensor.{rank}d.L2.global.im2col [%rd3, {{{at}}}], {{{offsets}}};"
    );
    let tail = WAIT_AND_COPY.replace("CHUNKS", &(len / 16).to_string());
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        arguments: vec![Argument::from(map), Argument::from(out)],
        ..Launch::default()
    };
    let module = Module::parse(&loading(&load, len, len, &tail))?;
    let report = run(&module, &launch, &mut memory, &Options::default())?;
    Ok((memory.read(out, len)?, report.findings))
}

/// Every tap's columns, at several places, hold what the convolution takes.
fn holds(conv: &Convolution, element: ElementType, channels: u32, pixels: u32, swizzle: Swizzle) {
    let map = conv.map(element, channels, pixels, swizzle);
    let (size, pixel) = (element.bytes() as usize, conv.channels * element.bytes() as usize);
    let all = conv.images * conv.sides.iter().product::<usize>();
    let bytes = crate::launch::pattern(all * pixel);
    let outputs: usize = conv.images * conv.outputs().iter().product::<usize>();
    let taps: usize = conv.filter.iter().product();
    for tap in 0..taps {
        let mut rest = tap;
        let tap: Vec<usize> = conv.filter.iter().map(|f| (rest % f, rest /= f).0).collect();
        let channel = if tap[0] == 0 { 0 } else { conv.channels / 2 };
        for first in [0, outputs / 3, outputs - 1 - outputs / 8] {
            let (at, offsets) = conv.operands(channel, first, &tap);
            let (got, findings) =
                load(&map, &bytes, &at, &offsets).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(findings, [], "{conv:?} {at} {offsets}");
            let row = channels as usize * size;
            for k in 0..pixels as usize {
                for byte in 0..row {
                    let plain = k * row + byte;
                    let inside = channel * size + byte < pixel;
                    let from = conv.input(first + k, &tap).filter(|_| inside);
                    let want = from.map_or(0, |input| bytes[input * pixel + channel * size + byte]);
                    // Chunk c of line l lies at c xor l, within as many chunks as the swizzle takes.
                    let chunks = swizzle.width() as usize / 16;
                    let (line, chunk) = (plain / 128, plain / 16 % 8);
                    let chunk = chunk / chunks * chunks + ((chunk % chunks) ^ (line % chunks));
                    let lies = line * 128 + chunk * 16 + plain % 16;
                    assert_eq!(got[lies], want, "{conv:?}: {at}, {offsets}: pixel {k} byte {byte}");
                }
            }
        }
    }
}

#[test]
fn columns_of_three_to_five_dimensions_are_those_of_a_convolution() {
    use ElementType::*;
    let line = Convolution {
        images: 3,
        channels: 16,
        sides: &[11],
        filter: &[3],
        padding: &[1],
        step: &[1],
        dilation: &[1],
    };
    holds(&line, Bf16, 8, 20, Swizzle::None);
    holds(
        &Convolution { padding: &[0], dilation: &[3], step: &[2], ..line },
        U8,
        16,
        9,
        Swizzle::None,
    );
    let image = Convolution {
        images: 2,
        channels: 8,
        sides: &[9, 6],
        filter: &[3, 2],
        padding: &[1, 1],
        step: &[1, 1],
        dilation: &[1, 1],
    };
    holds(&image, F32, 8, 64, Swizzle::B32);
    holds(&Convolution { step: &[2, 3], ..image }, F32, 8, 24, Swizzle::None);
    holds(&Convolution { dilation: &[2, 3], padding: &[2, 0], ..image }, F16, 8, 33, Swizzle::None);
    let volume = Convolution {
        images: 2,
        channels: 4,
        sides: &[4, 3, 5],
        filter: &[2, 3, 1],
        padding: &[1, 1, 0],
        step: &[1, 1, 2],
        dilation: &[1, 1, 1],
    };
    holds(&volume, U32, 4, 50, Swizzle::None);
    holds(&Convolution { channels: 32, ..volume }, Bf16, 32, 40, Swizzle::B64);
}

/// Examples 1 to 3 of the PTX ISA's section on im2col: the tensor, corners, step, and coordinates (its are written N, H, W, C).
#[test]
fn the_isas_examples_are_convolutions_of_three_by_three() {
    let conv = |w: usize, padding: &'static [usize], step: &'static [usize]| Convolution {
        images: 12,
        channels: 64,
        sides: if w == 9 { &[9, 14] } else { &[8, 14] },
        filter: &[3, 3],
        padding,
        step,
        dilation: &[1, 1],
    };
    for (w, padding, step, pixels, channels, corners, tap) in [
        (9, &[1, 1], &[1, 1], 64, 8, [-1, -1], [0, 0]),
        (9, &[0, 0], &[1, 1], 64, 8, [0, -2], [2, 2]),
        (8, &[1, 1], &[2, 2], 32, 16, [-1, -1], [1, 1]),
    ] {
        let conv = conv(w, padding, step);
        let map = conv.map(ElementType::Bf16, channels, pixels, Swizzle::None);
        assert_eq!((map.lower, map.upper), (vec![corners[0]; 2], vec![corners[1]; 2]));
        let map = conv.map(ElementType::Bf16, channels, pixels, Swizzle::None);
        let all = 12 * conv.sides.iter().product::<usize>();
        let bytes: Vec<u8> =
            (0..all as u16).flat_map(|pixel| pixel.to_le_bytes().repeat(64)).collect();
        // W, H and N of the examples; the output there.
        let (at, n) = (if w == 9 { [4, 7] } else { [5, 7] }, 7);
        let outputs = conv.outputs();
        let place = |k: usize| (at[k] as usize + padding[k]) / step[k];
        let first = (n * outputs[1] + place(1)) * outputs[0] + place(0);
        let (at, offsets) =
            (format!("0, {}, {}, {n}", at[0], at[1]), format!("{}, {}", tap[0], tap[1]));
        assert_eq!(conv.operands(0, first, &tap), (at.clone(), offsets.clone()));
        let (got, findings) = load(&map, &bytes, &at, &offsets).unwrap();
        assert_eq!(findings, []);
        for (k, pixel) in got.chunks(2 * channels as usize).enumerate() {
            let want = conv.input(first + k, &tap).map_or(0, |input| input as u16);
            assert_eq!(pixel, want.to_le_bytes().repeat(channels as usize), "pixel {k}");
        }
    }
}

#[test]
fn what_nothing_is_defined_for_is_told() {
    let conv = Convolution {
        images: 1,
        channels: 8,
        sides: &[5],
        filter: &[3],
        padding: &[0],
        step: &[1],
        dilation: &[1],
    };
    let map = conv.map(ElementType::Bf16, 8, 4, Swizzle::None);
    let bytes = crate::launch::pattern(5 * 16);
    let fault = |at: &str, offsets: &str| match load(&map, &bytes, at, offsets) {
        Err(Error::Finding(finding)) => *finding,
        other => panic!("{other:?}"),
    };
    let finding = fault("0, 3, 0", "0");
    assert_eq!(finding.kind, Kind::Undefined);
    assert!(finding.message.contains("outside of its box from 0 to 2"), "{finding}");
    assert_eq!(fault("0, -1, 0", "0").kind, Kind::Undefined);
    // An instruction for tiles with this map.
    let mut memory = Memory::new();
    let address = memory.allocate("tensor", 80).unwrap();
    let map = TensorMap::encode_im2col(&Im2col { address, ..map }).unwrap();
    let tiles = "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
                 [%r1], [%rd3, {0, 0, 0}], [%r2];";
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        arguments: vec![Argument::from(map), Argument::from(address)],
        ..Launch::default()
    };
    let module = Module::parse(&loading(tiles, 64, 64, "")).unwrap();
    match run(&module, &launch, &mut memory, &Options::default()) {
        Err(Error::Finding(finding)) => {
            assert_eq!(finding.kind, Kind::Invalid);
            assert!(
                finding.message.contains("one for im2col, the instruction one for tiles"),
                "{finding}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Stores or reduces a column of words 1, 2, … by `operation` over a tensor of hundreds; the tensor.
fn stored(conv: &Convolution, operation: &str, first: usize, pixels: u32) -> Vec<u32> {
    let map = conv.map(ElementType::U32, 4, pixels, Swizzle::None);
    let words = 4 * conv.images * conv.sides.iter().product::<usize>();
    let mut memory = Memory::new();
    let address = memory.allocate("tensor", 4 * words as u64).unwrap();
    let hundreds: Vec<u8> = [100u32].repeat(words).into_iter().flat_map(u32::to_le_bytes).collect();
    memory.write(address, &hundreds).unwrap();
    let map = TensorMap::encode_im2col(&Im2col { address, ..map }).unwrap();
    let (at, _) = conv.operands(0, first, &vec![0; conv.sides.len()]);
    let (rank, len) = (conv.sides.len() + 2, map.tile_bytes());
    let body = format!(
        ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .align 64 .b8 map[128])\n{{\n\
         .reg .b32 %r<8>;\n.reg .b64 %rd<4>;\n.reg .pred %p<4>;\n.shared .align 128 .b8 tile[{len}];\n\
         mov.b64 %rd2, map;\ncvta.param.u64 %rd3, %rd2;\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\n\
         setp.eq.u32 %p0, %r0, 0;\nshl.b32 %r2, %r0, 2;\nadd.u32 %r2, %r1, %r2;\nadd.u32 %r3, %r0, 1;\n\
         st.shared.u32 [%r2], %r3;\nfence.proxy.async.shared::cta;\nbar.sync 0;\n\
         @%p0 {operation}.{rank}d.global.shared::cta{{REDUCE}}.im2col_no_offs.bulk_group [%rd3, {{{at}}}], [%r1];\n\
         cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nret;\n}}\n"
    );
    let reduces = operation.contains("reduce");
    let text = body.replace("{REDUCE}", if reduces { ".add" } else { "" });
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [4 * pixels, 1, 1],
        arguments: vec![Argument::from(map)],
        ..Launch::default()
    };
    let module = Module::parse(&text).unwrap_or_else(|e| panic!("{e}"));
    let report =
        run(&module, &launch, &mut memory, &Options::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.findings, []);
    let bytes = memory.read(address, 4 * words).unwrap();
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn columns_are_stored_and_reduced_where_they_lie_in_the_tensor() {
    let conv = Convolution {
        images: 2,
        channels: 4,
        sides: &[5, 4],
        filter: &[2, 2],
        padding: &[1, 1],
        step: &[2, 1],
        dilation: &[1, 1],
    };
    for (operation, adds) in
        [("cp.async.bulk.tensor", false), ("cp.reduce.async.bulk.tensor", true)]
    {
        for (first, pixels) in [(0, 12), (7, 24)] {
            let got = stored(&conv, operation, first, pixels);
            let mut want = [100].repeat(got.len());
            for word in 0..4 * pixels {
                let (pixel, channel) = (word as usize / 4, word as usize % 4);
                if let Some(input) = conv.input(first + pixel, &[0, 0]) {
                    let slot = &mut want[4 * input + channel];
                    *slot = if adds { *slot + word + 1 } else { word + 1 };
                }
            }
            assert_eq!(got, want, "{operation} from {first}");
        }
    }
}

//! Blocks of `wgmma.mma_async`: every type of element, operands from shared memory in every canonical layout.
//!
//! A kernel copies the images of A and B to shared memory, multiplies m64n16 of 32 bytes of k, and stores D. So hardware shows whether
//! descriptors and swizzles are read as it reads them.

use super::product::{Random, moderate, within};
use super::{Block, Expected, Image};
use crate::tensor::element::Element;
use crate::tensor::form::{self, Form};
use crate::tensor::fragment::Layout;

/// Forms; those of 16 bits take both majors.
const FORMS: [&str; 10] = [
    "m64n16k16.f32.f16.f16",
    "m64n16k16.f16.f16.f16",
    "m64n16k16.f32.bf16.bf16",
    "m64n16k8.f32.tf32.tf32",
    "m64n16k32.f32.e4m3.e4m3",
    "m64n16k32.f32.e5m2.e4m3",
    "m64n16k32.f16.e4m3.e5m2",
    "m64n16k32.s32.s8.s8",
    "m64n16k32.s32.u8.u8",
    "m64n16k32.satfinite.s32.u8.u8",
];

/// All of them.
pub(super) fn blocks() -> impl Iterator<Item = Block> {
    FORMS.into_iter().flat_map(|text| {
        let form = form::wgmma(&text.split('.').collect::<Vec<_>>()).expect("the table has it");
        let majors = if form.a.bits() == 16 { 4 } else { 1 };
        (0..4 * majors).map(move |i| block(text, &form, [i / 4 % 2, i / 8], i % 4))
    })
}

/// A block with A and B K-major (0) or MN-major (1), in the swizzle of a mode.
fn block(text: &str, form: &Form, transposed: [usize; 2], mode: usize) -> Block {
    let &Form { m, n, k, .. } = form;
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut matrix = |element: Element, count: usize| -> Vec<u32> {
        let mask = u32::MAX >> (32 - element.bits());
        (0..count).map(|_| moderate(element, random.next()) as u32 & mask).collect()
    };
    let (a, b) = (matrix(form.a, m * k), matrix(form.b, n * k));
    let images =
        [Image::new(transposed[0], mode, m as u32), Image::new(transposed[1], mode, n as u32)];
    let [a_bytes, b_bytes] = images.map(|image| image.bytes as usize);
    let mut memory = vec![0; a_bytes + b_bytes];
    images[0].fill(form.a, &a, k, &mut memory);
    images[1].fill(form.b, &b, k, &mut memory[a_bytes..]);
    let (shared, layout) = (memory.len(), Layout::c(form.d, 16, n));
    let value = |element: Element, bits: u32| element.widen(bits) as f64;
    let mut results = Vec::new();
    for i in 0..layout.registers() * layout.per_register {
        for thread in 0..128 {
            let (row, column) = layout.place(thread % 32, i);
            let row = thread / 32 * 16 + row;
            let terms =
                (0..k).map(|p| value(form.a, a[row * k + p]) * value(form.b, b[column * k + p]));
            let (sum, scale) = terms.fold((0.0, 0.0), |(sum, all), x| (sum + x, all + x.abs()));
            let (number, value, tolerance) = within(form, sum, scale);
            let register = shared + 512 * (i / layout.per_register) + 4 * thread;
            let offset = register + 2 * (i % layout.per_register);
            results.push(Expected { offset, number, value, tolerance });
        }
    }
    memory.resize(shared + 512 * layout.registers(), 0);
    let qualifiers = match (form.d, form.a.bits()) {
        (Element::S32, _) => String::new(),
        (_, 16) => format!(", 1, 1, {}, {}", transposed[0], transposed[1]),
        _ => ", 1, 1".into(),
    };
    let ty = if form.d == Element::F32 { "f32" } else { "b32" };
    let zero = if form.d == Element::F32 { "0f00000000" } else { "0" };
    let d: Vec<String> = (0..layout.registers()).map(|i| format!("d{i}")).collect();
    let mut body = format!(
        ".shared .align 1024 .b8 tile[{shared}];\n.reg .b64 at, from, to, da, db; .reg .b32 i, s, w0, w1, w2, w3;\n\
         .reg .pred p; .reg .{ty} {};\nld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\nmul.wide.u32 from, i, 16;\n\
         add.s64 from, from, at;\nmul.wide.u32 to, i, 4;\nadd.s64 to, to, at;\nshl.b32 i, i, 4;\nmov.u32 s, tile;\n\
         add.u32 i, i, s;\n",
        d.join(", ")
    );
    for at in (0..shared).step_by(2048) {
        body += &format!(
            "ld.global.v4.b32 {{w0, w1, w2, w3}}, [from+{at}];\nst.shared.v4.b32 [i+{at}], {{w0, w1, w2, w3}};\n"
        );
    }
    d.iter().for_each(|d| body += &format!("mov.{ty} {d}, {zero};\n"));
    body += &format!(
        "fence.proxy.async;\nbar.sync 0;\nshr.u32 s, s, 4;\ncvt.u64.u32 da, s;\nadd.s64 db, da, {};\nadd.s64 da, da, {};\n\
         setp.eq.u32 p, s, s;\nwgmma.fence.sync.aligned;\nwgmma.mma_async.sync.aligned.{text} {{{}}}, da, db, p{qualifiers};\n\
         wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;",
        images[1].descriptor() as i64 + (a_bytes as i64 >> 4),
        images[0].descriptor() as i64,
        d.join(", ")
    );
    for (i, d) in d.iter().enumerate() {
        body += &format!("\nst.global.{ty} [to+{}], {d};", shared + 512 * i);
    }
    let majors = transposed.map(|t| ["K", "MN"][t]);
    Block {
        name: format!(
            "wgmma.mma_async.{text}, {}- and {}-major, swizzle mode {mode}",
            majors[0], majors[1]
        ),
        group: "warpgroup",
        grid: 1,
        cluster: 1,
        threads: 128,
        maps: Vec::new(),
        memory,
        results,
        body,
        sm: 90,
        version: (8, 0),
    }
}

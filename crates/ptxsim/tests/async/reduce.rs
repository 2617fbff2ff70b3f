//! Reductions of arrays and tensors, against plain Rust.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Argument, Error, Kind, Launch, Memory, Module, Options, TensorMap, run};

use crate::launch::{fault, refusal, right};

/// 16 threads copy 256 bytes to `out` and the next 256 to `tile`, then thread 0 reduces the one by the other.
fn array(form: &str) -> String {
    format!(
        "setp.eq.u32 %p1, %r0, 0;\nmul.wide.u32 %rd2, %r0, 16;\nadd.u64 %rd3, %rd0, %rd2;\nadd.u64 %rd4, %rd1, %rd2;\n\
         shl.b32 %r3, %r0, 4;\nadd.u32 %r3, %r1, %r3;\n\
         ld.global.v4.u32 {{%r4, %r5, %r6, %r7}}, [%rd3];\nst.global.v4.u32 [%rd4], {{%r4, %r5, %r6, %r7}};\n\
         ld.global.v4.u32 {{%r4, %r5, %r6, %r7}}, [%rd3+256];\nst.shared.v4.u32 [%r3], {{%r4, %r5, %r6, %r7}};\n\
         fence.proxy.async;\nbar.sync 0;\n\
         @%p1 cp.reduce.async.bulk.global.shared::cta.bulk_group.{form} [%rd1], [%r1], 256;\n\
         cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;"
    )
}

/// Elements of N bytes with much variety, and pairs that are equal.
fn elements<const N: usize>(seed: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state >> (64 - 8 * N).min(32) >> (state >> 60)
    };
    let mask = u64::MAX >> (64 - 8 * N);
    (0..256 / N).map(|i| if i % 7 == 3 { 5 } else { next() & mask }).collect()
}

fn bytes<const N: usize>(elements: &[u64]) -> Vec<u8> {
    elements.iter().flat_map(|e| e.to_le_bytes()[..N].to_vec()).collect()
}

fn reduces<const N: usize>(form: &str, old: &[u64], by: &[u64], want: impl Fn(u64, u64) -> u64) {
    let input = [bytes::<N>(old), bytes::<N>(by)].concat();
    let mask = u64::MAX >> (64 - 8 * N);
    let all: Vec<u64> = old.iter().zip(by).map(|(a, b)| want(*a, *b) & mask).collect();
    assert_eq!(right(&array(form), [1, 16], &input, 256).out, bytes::<N>(&all), "{form}");
}

type Words = fn(u32, u32) -> u32;
type Doubles = fn(u64, u64) -> u64;

#[test]
fn integers_in_global_memory_are_reduced_in_every_way() {
    let words: [(&str, Words); 11] = [
        ("and.b32", |a, b| a & b),
        ("or.b32", |a, b| a | b),
        ("xor.b32", |a, b| a ^ b),
        ("add.u32", u32::wrapping_add),
        ("add.s32", u32::wrapping_add),
        ("inc.u32", |a, b| if a >= b { 0 } else { a + 1 }),
        ("dec.u32", |a, b| if a == 0 || a > b { b } else { a - 1 }),
        ("min.u32", |a, b| a.min(b)),
        ("max.u32", |a, b| a.max(b)),
        ("min.s32", |a, b| (a as i32).min(b as i32) as u32),
        ("max.s32", |a, b| (a as i32).max(b as i32) as u32),
    ];
    for (form, want) in words {
        let (a, b) = (elements::<4>(1), elements::<4>(2));
        reduces::<4>(form, &a, &b, |a, b| want(a as u32, b as u32) as u64);
    }
    let doubles: [(&str, Doubles); 8] = [
        ("and.b64", |a, b| a & b),
        ("or.b64", |a, b| a | b),
        ("xor.b64", |a, b| a ^ b),
        ("add.u64", u64::wrapping_add),
        ("min.u64", |a, b| a.min(b)),
        ("max.u64", |a, b| a.max(b)),
        ("min.s64", |a, b| (a as i64).min(b as i64) as u64),
        ("max.s64", |a, b| (a as i64).max(b as i64) as u64),
    ];
    for (form, want) in doubles {
        reduces::<8>(form, &elements::<8>(3), &elements::<8>(4), want);
    }
}

#[test]
fn a_cache_policy_changes_no_result() {
    let body = array("L2::cache_hint.add.u32").replace("[%r1], 256;", "[%r1], 256, %rd2;");
    let input: Vec<u8> = (0..128u32).flat_map(u32::to_le_bytes).collect();
    let sums: Vec<u32> = (0..64).map(|i| 64 + 2 * i).collect();
    assert_eq!(right(&body, [1, 16], &input, 256).words(), sums);
}

#[test]
fn floats_are_added_and_only_f32_flushes_subnormals() {
    // Subnormals, values whose sum rounds, infinities.
    let single: Vec<f32> = [1e-40, 1.5e-39, 1.0, 0.1, 3.4e38, f32::INFINITY, -7.25, 1e-8].repeat(8);
    let other: Vec<f32> = [1e-40, 1.0, 1e-8, 0.2, 3.4e38, 1.0, 7.25, -1e-40].repeat(8);
    let flush = |x: f32| if x.is_subnormal() { 0.0f32.copysign(x) } else { x };
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits() as u64).collect::<Vec<_>>();
    reduces::<4>("add.f32", &bits(&single), &bits(&other), |a, b| {
        let [a, b] = [a, b].map(|x| flush(f32::from_bits(x as u32)));
        flush(a + b).to_bits() as u64
    });
    let wide: Vec<u64> = single.iter().map(|x| (f64::from(*x) * 1e-300).to_bits()).collect();
    reduces::<8>("add.f64", &wide[..32], &wide[8..40], |a, b| {
        (f64::from_bits(a) + f64::from_bits(b)).to_bits()
    });
    // Two equal subnormals of 16 bits make the one of twice their number; so do equal normal ones, an exponent on.
    for form in ["add.noftz.f16", "add.noftz.bf16"] {
        let exponent = if form.ends_with("bf16") { 0x80 } else { 0x400 };
        let equal: Vec<u64> = [1u64, 2, 3, 0x21, 0x3c00, 0x4123, 0x8002, 0xb800].repeat(16);
        reduces::<2>(form, &equal, &equal, |a, _| match a & 0x7fff {
            small @ 0..=0x3f => (a & 0x8000) | (2 * small),
            _ => a + exponent,
        });
    }
}

#[test]
fn extremes_of_16_bit_floats_take_the_number_before_a_nan() {
    // Small to large: −∞, −2, −0, 0, subnormal, 1.5, ∞; then a NaN.
    for (ty, inf, nan, values) in [
        ("f16", 0x7c00, 0x7e00, [0xc000u64, 0x8000, 0, 7, 0x3e00]),
        ("bf16", 0x7f80, 0x7fc0, [0xc000, 0x8000, 0, 7, 0x3fc0]),
    ] {
        let order: Vec<u64> = [vec![inf | 0x8000], values.to_vec(), vec![inf], vec![nan]].concat();
        let all: Vec<(u64, u64)> =
            order.iter().flat_map(|a| order.iter().map(|b| (*a, *b))).collect();
        let place = |x: u64| order.iter().position(|v| *v == x).unwrap();
        for pairs in all.chunks(32) {
            let pairs: Vec<(u64, u64)> =
                pairs.iter().copied().filter(|p| *p != (nan, nan)).cycle().take(128).collect();
            let (a, b): (Vec<u64>, Vec<u64>) = pairs.into_iter().unzip();
            reduces::<2>(&format!("min.{ty}"), &a, &b, |a, b| order[place(a).min(place(b))]);
            reduces::<2>(&format!("max.{ty}"), &a, &b, |a, b| {
                let greater = place(a).max(place(b));
                if order[greater] == nan { order[place(a).min(place(b))] } else { order[greater] }
            });
        }
    }
}

#[test]
fn blocks_reduce_arrays_in_each_others_shared_memory() {
    let forms: [(&str, Words); 5] = [
        ("add.u32", u32::wrapping_add),
        ("min.s32", |a, b| (a as i32).min(b as i32) as u32),
        ("max.u32", |a, b| a.max(b)),
        ("xor.b32", |a, b| a ^ b),
        ("inc.u32", |a, b| if a >= b { 0 } else { a + 1 }),
    ];
    for (form, want) in forms {
        // Block r has 10 − 20r in its words, and is reduced by 7 + r, one word a lane, of the other.
        let body = format!(
            "setp.eq.u32 %p1, %r0, 0;\nmov.u32 %r20, %cluster_ctarank;\n\
             @%p1 mbarrier.init.shared.b64 [%r2], 1;\nfence.mbarrier_init.release.cluster;\n\
             shl.b32 %r3, %r0, 2;\nadd.u32 %r3, %r1, %r3;\n\
             mul.lo.u32 %r4, %r20, 20;\nsub.u32 %r4, 10, %r4;\nst.shared.u32 [%r3+128], %r4;\n\
             add.u32 %r5, %r20, 7;\nst.shared.u32 [%r3], %r5;\nfence.proxy.async;\n\
             barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n\
             @!%p1 bra JOIN;\nmbarrier.arrive.expect_tx.shared.b64 _, [%r2], 128;\nxor.b32 %r22, %r20, 1;\n\
             mapa.shared::cluster.u32 %r23, %r1, %r22;\nmapa.shared::cluster.u32 %r24, %r2, %r22;\n\
             cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.{form} [%r23+128], [%r1], 128, [%r24];\n\
             JOIN:\nWAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
             ld.shared.u32 %r5, [%r3+128];\nmad.lo.u32 %r6, %r20, 32, %r0;\nmul.wide.u32 %rd5, %r6, 4;\n\
             add.u64 %rd5, %rd1, %rd5;\nst.global.u32 [%rd5], %r5;\n\
             barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;"
        );
        let ran = right(&body, [2, 32], &[0; 4], 256);
        let all = [vec![want(10, 8); 32], vec![want(10u32.wrapping_sub(20), 7); 32]].concat();
        assert_eq!(ran.words(), all, "{form}");
    }
}

/// Every one of `blocks` blocks reduces the tile at (4, 1) by 64 rows of words, each word its number in the tile.
fn tensor(
    operation: &str,
    element: ElementType,
    swizzle: Swizzle,
    blocks: u32,
) -> Result<Vec<u32>, Error> {
    let text = format!(
        ".version 8.6\n.target sm_90a\n.address_size 64\n\
         .visible .entry k(.param .align 64 .b8 map[128])\n{{\n\
         .reg .b32 %r<16>;\n.reg .b64 %rd<4>;\n.reg .pred %p<4>;\n.shared .align 1024 .b8 tile[1024];\n\
         mov.b64 %rd2, map;\ncvta.param.u64 %rd3, %rd2;\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\n\
         setp.eq.u32 %p0, %r0, 0;\nmov.u32 %r5, %r0;\n\
         FILL:\nshl.b32 %r6, %r5, 2;\nadd.u32 %r6, %r1, %r6;\nst.shared.u32 [%r6], %r5;\nadd.u32 %r5, %r5, 32;\n\
         setp.lt.u32 %p1, %r5, 256;\n@%p1 bra FILL;\n\
         fence.proxy.async.shared::cta;\nbar.sync 0;\n\
         @%p0 cp.reduce.async.bulk.tensor.2d.global.shared::cta.{operation}.tile.bulk_group [%rd3, {{4, 1}}], [%r1];\n\
         cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nret;\n}}\n"
    );
    let mut memory = Memory::new();
    let address = memory.allocate("tensor", 6 * 40 * 4)?;
    let old: Vec<u8> = (0..240u32).flat_map(|i| (1000 + i).to_le_bytes()).collect();
    memory.write(address, &old)?;
    let (words, wide) = (element.bytes() / 4, 32);
    let map = TensorMap::encode(&Tiled {
        element,
        address,
        dims: vec![u64::from(40 / words), 6],
        strides: vec![160],
        tile: vec![wide / words, 8],
        element_strides: vec![],
        swizzle,
        fill_nan: false,
    })?;
    let launch = Launch {
        entry: "k".into(),
        grid: [blocks, 1, 1],
        block: [32, 1, 1],
        arguments: vec![Argument::from(map)],
        ..Launch::default()
    };
    let report = run(&Module::parse(&text)?, &launch, &mut memory, &Options::default())?;
    assert_eq!(report.findings, []);
    let bytes = memory.read(address, 960)?;
    Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect())
}

#[test]
fn tiles_of_tensors_are_reduced_where_they_lie_in_the_tensor() {
    let forms: [(&str, Words); 3] =
        [("add", u32::wrapping_add), ("max", |a, b| a.max(b)), ("xor", |a, b| a ^ b)];
    for (operation, want) in forms {
        for swizzle in [Swizzle::None, Swizzle::B128] {
            for blocks in [1, 3] {
                let got = tensor(operation, ElementType::U32, swizzle, blocks).unwrap();
                for (at, got) in got.into_iter().enumerate() {
                    let (row, column, old) = (at / 40, at % 40, 1000 + at as u32);
                    // The tile has 8 rows from row 1 on, and 32 columns from column 4 on.
                    let inside = row >= 1 && (4..36).contains(&column);
                    let new = || {
                        let (r, c) = (row - 1, column - 4);
                        let chunk = if swizzle == Swizzle::None { c / 4 } else { (c / 4) ^ r };
                        let by = (32 * r + 4 * chunk + c % 4) as u32;
                        (0..blocks).fold(old, |old, _| want(old, by))
                    };
                    assert_eq!(got, if inside { new() } else { old }, "{operation} {at}");
                }
            }
        }
    }
}

#[test]
fn tensors_are_not_reduced_in_ways_that_their_type_lacks() {
    for (operation, element) in
        [("add", ElementType::F64), ("min", ElementType::F32), ("inc", ElementType::S32)]
    {
        match tensor(operation, element, Swizzle::None, 1) {
            Err(Error::Finding(finding)) => {
                assert_eq!(finding.kind, Kind::Undefined);
                assert!(finding.message.contains(&format!("{element:?}")), "{finding}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(tensor("add", ElementType::F32, Swizzle::None, 1).is_ok());
}

#[test]
fn reductions_that_do_not_exist_are_refused() {
    let global = "cp.reduce.async.bulk.global.shared::cta.bulk_group";
    for form in ["add.f16", "min.f32", "inc.s32", "add.s64", "xor.u32", "min.noftz.f16", "cas.b32"]
    {
        let why = refusal(&format!("{global}.{form} [%rd1], [%r1], 16;"));
        assert!(why.contains("there") || why.contains("modifier"), "{why}");
    }
    let cluster = "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes";
    for form in ["add.f32", "min.u64", "and.b64"] {
        let why = refusal(&format!("{cluster}.{form} [%r1], [%r1+64], 16, [%r2];"));
        assert!(why.contains("there"), "{why}");
    }
    let column = "cp.reduce.async.bulk.tensor.3d.global.shared::cta.add.im2col.bulk_group \
                  [%rd0, {%r3, %r4, %r5}], [%r1];";
    assert!(refusal(column).contains("combination"));
}

#[test]
fn a_reduction_of_an_odd_number_of_bytes_or_at_an_odd_address_is_an_error() {
    let form = "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32";
    let with = |operands: &str| {
        format!(
            "mov.u32 %r3, 20;\nsetp.eq.u32 %p1, %r0, 0;\nst.shared.v4.u32 [%r1], {{%r0, %r0, %r0, %r0}};\n\
             st.shared.v4.u32 [%r1+16], {{%r0, %r0, %r0, %r0}};\nfence.proxy.async;\n@%p1 {form} {operands};\n\
             cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;"
        )
    };
    assert_eq!(fault(&with("[%rd1], [%r1], %r3"), [1, 1], &[0; 4]).kind, Kind::Undefined);
    assert_eq!(fault(&with("[%rd1+4], [%r1], 16"), [1, 1], &[0; 4]).kind, Kind::Misaligned);
}

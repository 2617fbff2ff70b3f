//! Bulk and tensor copies, element by element.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Argument, Error, Finding, Kind, Launch, Memory, Module, Options, TensorMap, run};

use crate::launch::{pattern, refusal};

/// Thread 0 loads a tile at the coordinates, waits, and all bytes of shared memory go to `out`.
fn kernel(rank: usize, at: &[i32], bytes: usize, expect: usize, tail: &str) -> String {
    let at: Vec<String> = at.iter().map(|x| x.to_string()).collect();
    let load = format!(
        "cp.async.bulk.tensor.{rank}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes \
         [%r1], [%rd3, {{{}}}], [%r2];",
        at.join(", ")
    );
    loading(&load, bytes, expect, tail)
}

/// Thread 0 starts `load` by the map at `%rd3` to `%r1`, which tells the mbarrier at `%r2`.
pub fn loading(load: &str, bytes: usize, expect: usize, tail: &str) -> String {
    format!(
        ".version 8.6\n.target sm_90a\n.address_size 64\n\
         .visible .entry k(.param .align 64 .b8 map[128], .param .u64 out)\n{{\n\
         .reg .b16 %h<4>;\n.reg .b32 %r<16>;\n.reg .b64 %rd<16>;\n.reg .pred %p<4>;\n\
         .shared .align 1024 .b8 tile[{bytes}];\n.shared .align 8 .b8 bar[8];\n\
         mov.b64 %rd2, map;\ncvta.param.u64 %rd3, %rd2;\nld.param.u64 %rd1, [out];\n\
         mov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\nmov.u32 %r2, bar;\nsetp.eq.u32 %p0, %r0, 0;\n\
         @!%p0 bra JOIN;\nmbarrier.init.shared.b64 [%r2], 1;\nfence.proxy.async.shared::cta;\n\
         mbarrier.arrive.expect_tx.shared.b64 _, [%r2], {expect};\n{load}\n\
         JOIN:\nbar.sync 0;\n{tail}\nret;\n}}\n"
    )
}

/// Waits for the load, and copies `CHUNKS` of 16 bytes to `out`.
pub const WAIT_AND_COPY: &str = "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r2], 0;\n@!%p1 bra WAIT;\n\
     mov.u32 %r5, %r0;\nNEXT:\nsetp.ge.u32 %p2, %r5, CHUNKS;\n@%p2 bra DONE;\nshl.b32 %r6, %r5, 4;\nadd.u32 %r7, %r1, %r6;\ncvt.u64.u32 %rd5, %r6;\n\
     add.u64 %rd5, %rd1, %rd5;\nld.shared.v4.u32 {%r8, %r9, %r10, %r11}, [%r7];\n\
     st.global.v4.u32 [%rd5], {%r8, %r9, %r10, %r11};\nadd.u32 %r5, %r5, 32;\n\
     bra NEXT;\nDONE:";

/// The tensor and its map; the tensor's bytes fill all of an allocation.
fn tensor(memory: &mut Memory, t: &Tiled) -> (Vec<u8>, TensorMap) {
    let last = t.dims.len() - 1;
    let row = t.dims[0] * t.element.bytes() as u64;
    let len = if last == 0 { row } else { t.strides[last - 1] * t.dims[last] };
    let bytes = pattern(len as usize);
    let address = memory.allocate("tensor", len).unwrap();
    memory.write(address, &bytes).unwrap();
    (bytes, TensorMap::encode(&Tiled { address, ..t.clone() }).unwrap())
}

/// What the tile must be: every element by its coordinates, chunks by the rule of swizzles written out here.
fn expected(t: &Tiled, bytes: &[u8], at: &[i32], nan: &[u8]) -> Vec<u8> {
    let (rank, size) = (t.dims.len(), t.element.bytes() as usize);
    let step =
        |k: usize| if k > 0 && !t.element_strides.is_empty() { t.element_strides[k] } else { 1 };
    let counts: Vec<usize> = (0..rank).map(|k| t.tile[k].div_ceil(step(k)) as usize).collect();
    let total: usize = counts.iter().product();
    let mut out = vec![0; total * size];
    for number in 0..total {
        let (mut rest, mut offset, mut inside) = (number, 0usize, true);
        for k in 0..rank {
            let index = at[k] as i64 + (rest % counts[k]) as i64 * step(k) as i64;
            rest /= counts[k];
            inside &= index >= 0 && index < t.dims[k] as i64;
            if inside {
                offset += index as usize * if k == 0 { size } else { t.strides[k - 1] as usize };
            }
        }
        let plain = number * size;
        // Chunk c of 16 bytes of 128-byte line r goes to chunk c xor r, within as many chunks as the swizzle takes.
        let chunks = match t.swizzle {
            Swizzle::None => 1,
            Swizzle::B32 => 2,
            Swizzle::B64 => 4,
            Swizzle::B128 => 8,
        };
        let (line, chunk) = (plain / 128, plain / 16 % 8);
        let chunk = chunk / chunks * chunks + ((chunk % chunks) ^ (line % chunks));
        let to = line * 128 + chunk * 16 + plain % 16;
        let from = if inside { &bytes[offset..offset + size] } else { nan };
        out[to..to + size].copy_from_slice(from);
    }
    out
}

/// The tensor's bytes, what arrived, and what was found.
type Loaded = (Vec<u8>, Vec<u8>, Vec<Finding>);

fn load(t: &Tiled, at: &[i32], expect: Option<usize>, tail: &str) -> Result<Loaded, Error> {
    let mut memory = Memory::new();
    let (bytes, map) = tensor(&mut memory, t);
    let len = map.tile_bytes();
    let out = memory.allocate("out", len as u64)?;
    memory.write(out, &vec![0; len])?;
    let tail = tail.replace("CHUNKS", &(len / 16).to_string());
    let module = Module::parse(&kernel(t.dims.len(), at, len, expect.unwrap_or(len), &tail))?;
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        arguments: vec![Argument::from(map), Argument::from(out)],
        ..Launch::default()
    };
    let report = run(&module, &launch, &mut memory, &Options::default())?;
    Ok((bytes, memory.read(out, len)?, report.findings))
}

fn tiled(element: ElementType, dims: &[u64], tile: &[u32], swizzle: Swizzle) -> Tiled {
    let mut strides = Vec::new();
    let mut stride = dims[0] * element.bytes() as u64;
    for dim in &dims[1..] {
        // A gap behind every row, of 16 bytes and to the next 16.
        stride = stride.next_multiple_of(16) + 16;
        strides.push(stride);
        stride *= dim;
    }
    Tiled {
        element,
        address: ptxsim::Pointer(0),
        dims: dims.to_vec(),
        strides,
        tile: tile.to_vec(),
        element_strides: vec![],
        swizzle,
        fill_nan: false,
    }
}

fn holds(t: &Tiled, at: &[i32], nan: &[u8]) {
    let (bytes, got, findings) = load(t, at, None, WAIT_AND_COPY).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(findings, [], "{t:?} {at:?}");
    assert_eq!(got, expected(t, &bytes, at, nan), "{t:?} {at:?}");
}

#[test]
fn tiles_of_one_to_five_dimensions_are_loaded() {
    use ElementType::*;
    holds(&tiled(F32, &[50], &[8], Swizzle::None), &[3], &[0; 4]);
    holds(&tiled(Bf16, &[40, 9], &[16, 4], Swizzle::None), &[8, 2], &[0; 2]);
    holds(&tiled(U8, &[40, 5, 6], &[32, 2, 3], Swizzle::None), &[1, 2, 3], &[0]);
    holds(&tiled(F64, &[6, 5, 4, 3], &[4, 2, 3, 2], Swizzle::None), &[1, 2, 0, 1], &[0; 8]);
    holds(
        &tiled(U32, &[9, 3, 3, 3, 3], &[4, 2, 2, 2, 2], Swizzle::None),
        &[2, 1, 0, 1, 1],
        &[0; 4],
    );
}

#[test]
fn swizzles_exchange_chunks() {
    for (swizzle, columns) in [(Swizzle::B32, 16), (Swizzle::B64, 32), (Swizzle::B128, 64)] {
        holds(&tiled(ElementType::Bf16, &[72, 40], &[columns, 32], swizzle), &[4, 5], &[0; 2]);
    }
}

#[test]
fn what_lies_outside_is_filled() {
    use ElementType::*;
    for at in [[-5, -2], [35, 7], [-16, 0], [100, 100], [0, -4]] {
        holds(&tiled(F16, &[40, 9], &[16, 4], Swizzle::B32), &at, &[0; 2]);
        let t = Tiled { fill_nan: true, ..tiled(F32, &[40, 9], &[16, 4], Swizzle::None) };
        holds(&t, &at, &0x7fff_ffffu32.to_le_bytes());
    }
}

#[test]
fn steps_leave_elements_out() {
    let t = Tiled {
        element_strides: vec![1, 3, 2],
        ..tiled(ElementType::F32, &[12, 20, 8], &[8, 8, 3], Swizzle::B32)
    };
    holds(&t, &[2, 1, 3], &[0; 4]);
    holds(&t, &[2, 14, 6], &[0; 4]);
}

#[test]
fn wrong_byte_counts_and_missing_waits_are_found() {
    let t = tiled(ElementType::Bf16, &[64, 8], &[64, 8], Swizzle::B128);
    // 1024 bytes come: one row too many is expected.
    match load(&t, &[0, 0], Some(1024 + 128), WAIT_AND_COPY) {
        Err(Error::Finding(finding)) => {
            assert_eq!(finding.kind, Kind::Deadlock);
            assert!(finding.message.contains("0 of 1 arrivals and 128 bytes"), "{finding}");
        }
        other => panic!("{other:?}"),
    }
    // The other parity has ended before the first phase: nothing is waited for.
    let wrong = WAIT_AND_COPY.replace("[%r2], 0;", "[%r2], 1;");
    let (.., findings) = load(&t, &[0, 0], None, &wrong).unwrap();
    let kinds: Vec<Kind> = findings.iter().map(|f| f.kind).collect();
    assert!(
        kinds.contains(&Kind::UninitializedMemory) && kinds.contains(&Kind::Abandoned),
        "{kinds:?}"
    );
    // No wait at all.
    let (.., findings) = load(&t, &[0, 0], None, "").unwrap();
    assert!(findings.iter().any(|f| f.kind == Kind::Abandoned), "{findings:?}");
}

#[test]
fn bytes_go_through_shared_memory_and_back() {
    let body = "setp.eq.u32 %p1, %r0, 0;\n@!%p1 bra END;\n\
         mbarrier.init.shared.b64 [%r2], 1;\nfence.proxy.async.shared::cta;\n\
         mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 512;\n\
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd0], 512, [%r2];\n\
         WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
         cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1+256], 256;\n\
         cp.async.bulk.commit_group;\n\
         cp.async.bulk.global.shared::cta.bulk_group [%rd1+256], [%r1], 256;\n\
         cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 1;\ncp.async.bulk.wait_group 1;\n\
         cp.async.bulk.wait_group.read 0;\nEND:";
    let input = pattern(512);
    let ran = crate::launch::right(body, [1, 32], &input, 512);
    assert_eq!(ran.out, [&input[256..], &input[..256]].concat());
}

#[test]
fn a_store_that_nobody_waits_for_is_found() {
    let body = "setp.eq.u32 %p1, %r0, 0;\nst.shared.v4.u32 [%r1], {%r0, %r0, %r0, %r0};\n\
         fence.proxy.async.shared::cta;\n\
         @%p1 cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 16;\n\
         cp.async.bulk.commit_group;";
    let ran = crate::launch::run_with(body, [1, 1], &[0; 4], 16, &Options::default()).unwrap();
    assert_eq!(ran.kinds(), [Kind::Abandoned]);
}

#[test]
fn a_block_sends_bytes_to_another() {
    let body = "setp.eq.u32 %p1, %r0, 0;\nmov.u32 %r20, %cluster_ctarank;\n\
         @%p1 mbarrier.init.shared.b64 [%r2], 1;\nfence.mbarrier_init.release.cluster;\n\
         add.u32 %r21, %r20, 40;\n@%p1 st.shared.v4.u32 [%r1], {%r21, %r21, %r20, %r21};\n\
         fence.proxy.async;\n\
         barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n@!%p1 bra END;\n\
         mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 16;\nxor.b32 %r22, %r20, 1;\n\
         mapa.shared::cluster.u32 %r23, %r1, %r22;\nmapa.shared::cluster.u32 %r24, %r2, %r22;\n\
         cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r23+64], [%r1], 16, [%r24];\n\
         WAIT:\nmbarrier.try_wait.parity.shared.b64 %p2, [%r2], 0;\n@!%p2 bra WAIT;\n\
         ld.shared.u32 %r5, [%r1+64];\nmul.wide.u32 %rd5, %r20, 4;\nadd.u64 %rd5, %rd1, %rd5;\n\
         st.global.u32 [%rd5], %r5;\nEND:\nbarrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;";
    assert_eq!(crate::launch::right(body, [2, 32], &[0; 4], 8).words(), [41, 40]);
}

#[test]
fn what_is_not_executed_is_refused_by_name() {
    let load = "cp.async.bulk.tensor.3d.shared::cluster.global.im2col::w.mbarrier::complete_tx::bytes \
                [%r1], [%rd0, {%r3, %r4, %r5}], [%r2], {%h1, %h2};";
    assert!(refusal(load).contains("wide im2col"));
    let load = "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes \
                [%r1], [%rd0, {%r3, %r4, %r5, %r6}], [%r2], {%h1};";
    assert!(refusal(load).contains("1 im2col offsets, not 2"));
    let load = "cp.async.bulk.tensor.2d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes \
                [%r1], [%rd0, {%r3, %r4}], [%r2], {%h1};";
    assert!(refusal(load).contains("im2col in 2 dimensions"));
    let pair = "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.cta_group::2 \
                [%r1], [%rd0, {%r3, %r4}], [%r2];";
    assert!(refusal(pair).contains("pairs of blocks"));
    let replace = "tensormap.replace.tile.global_address.global.b1024.b64 [%rd0], %rd1;";
    assert!(refusal(replace).contains("tensor maps"));
    let flat = "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes \
                [%r1], [%rd0, {%r3}], [%r2];";
    assert!(refusal(flat).contains("1 coordinates in 2 dimensions"));
}

//! Kernels of several blocks: their numbers, atomics that they share, clusters that use each other's shared memory, and
//! copies without a tensor map.

use super::{Block, Expected, Number, Tolerance, Value};

/// Who takes part: blocks of the grid, blocks of a cluster, threads of a block.
type Shape = [u32; 3];

/// Words of the buffer's front are read, those behind are written.
struct Kernel {
    name: &'static str,
    shape: Shape,
    /// Least compute capability, times ten.
    sm: u32,
    input: Vec<u32>,
    output: Vec<u32>,
    /// `at` is the buffer, `out` behind its input; `i` is the thread, `b` the block, `g` the thread among all; `me` is its
    /// word of `out`, `r` the rank in the cluster; `s` is 4096 bytes of shared memory, `sw` the thread's word of it, `m` an
    /// mbarrier; `p` is set in thread 0.
    body: String,
}

const DECLARATIONS: &str = ".shared .align 1024 .b8 tile[4096];\n.shared .align 8 .b8 bars[16];\n\
    .reg .b64 at, out, me, t, d0, d1; .reg .b32 i, b, g, r, s, sw, m, v, w, x, y, other, bar;\n.reg .pred p, q;\n\
    ld.param.u64 at, [rows];\nmov.u32 i, %tid.x;\nmov.u32 b, %ctaid.x;\nmov.u32 v, %ntid.x;\nmad.lo.u32 g, b, v, i;\n\
    mov.u32 s, tile;\nmov.u32 m, bars;\nshl.b32 sw, i, 2;\nadd.u32 sw, sw, s;\nsetp.eq.u32 p, i, 0;\n";

const CLUSTER_MEETS: &str =
    "barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n";

/// Waits for phase 0 of the mbarrier.
const COMES: &str =
    "COME:\nmbarrier.try_wait.parity.acquire.cluster.shared.b64 q, [m], 0;\n@!q bra COME;\n";

/// Addresses of the other block's word and mbarrier, in a cluster of two.
const OTHER: &str = "xor.b32 x, r, 1;\nmapa.shared::cluster.u32 other, sw, x;\nmapa.shared::cluster.u32 bar, m, x;\n";

impl Kernel {
    fn block(self) -> Block {
        let [grid, cluster, threads] = self.shape;
        let front = 4 * self.input.len();
        let mut body = String::from(DECLARATIONS);
        body += &format!("add.s64 out, at, {front};\nmul.wide.u32 t, g, 4;\nadd.s64 me, out, t;\n");
        if cluster > 1 {
            body += "mov.u32 r, %cluster_ctarank;\n";
        }
        let words = self.output.iter().enumerate();
        let results = words.map(|(k, word)| Expected {
            offset: front + 4 * k,
            number: Number::F32,
            value: Value::Bits(*word as u64),
            tolerance: Tolerance::Exact,
        });
        let results = results.collect();
        let mut memory: Vec<u8> = self.input.iter().flat_map(|word| word.to_le_bytes()).collect();
        memory.resize(front + 4 * self.output.len(), 0);
        Block {
            name: self.name.into(),
            group: "grid",
            grid,
            cluster,
            threads,
            maps: Vec::new(),
            memory,
            results,
            body: body + &self.body,
            sm: self.sm,
            version: if self.sm >= 90 { (8, 1) } else { (7, 0) },
        }
    }
}

fn numbers() -> Kernel {
    let word = |g: u32| 1000 * (g / 40) + 3 * (g % 40) + 5;
    Kernel {
        name: "blocks and threads by their numbers",
        shape: [5, 1, 40],
        sm: 75,
        input: Vec::new(),
        output: (0..200).map(word).collect(),
        body: "mov.u32 w, %nctaid.x;\nmad.lo.u32 w, b, 1000, w;\nmad.lo.u32 w, i, 3, w;\nst.global.u32 [me], w;".into(),
    }
}

fn atomics() -> Kernel {
    // 192 threads: a sum, both extremes, bits, and a counter that wraps behind 99.
    Kernel {
        name: "atomics of all blocks on one word each",
        shape: [3, 1, 64],
        sm: 75,
        input: Vec::new(),
        output: vec![191 * 96, 191, u32::MAX - 190, 255, 1, 192 % 100],
        body: "red.global.add.u32 [out], g;\nred.global.max.u32 [out+4], g;\nneg.s32 w, g;\n\
               red.global.min.s32 [out+8], w;\nred.global.or.b32 [out+12], g;\n\
               setp.ge.u32 q, g, 191;\n@q red.global.xor.b32 [out+16], 1;\nred.global.inc.u32 [out+20], 99;"
            .into(),
    }
}

fn last_block() -> Kernel {
    let part = |b: u32| (64 * b..64 * b + 64).map(|g| g * g).sum::<u32>();
    Kernel {
        name: "the last block adds what all have left",
        shape: [7, 1, 64],
        sm: 75,
        input: Vec::new(),
        output: [part(0) + (1..7).map(part).sum::<u32>(), 7]
            .into_iter()
            .chain((0..7).map(part))
            .collect(),
        // The block's sum by shared atomics, a ticket, and the last one's single thread adds the parts.
        body: "@p st.shared.u32 [s], 0;\nbar.sync 0;\nmul.lo.u32 w, g, g;\nred.shared.add.u32 [s], w;\nbar.sync 0;\n\
               @!p bra END;\nld.shared.u32 w, [s];\nmul.wide.u32 t, b, 4;\nadd.s64 t, t, out;\nst.global.u32 [t+8], w;\n\
               fence.acq_rel.gpu;\natom.relaxed.gpu.global.add.u32 x, [out+4], 1;\nfence.acq_rel.gpu;\n\
               setp.ne.u32 q, x, 6;\n@q bra END;\nmov.u32 y, 0;\nmov.u32 x, 0;\nmov.u64 t, out;\nADD:\n\
               ld.global.u32 w, [t+8];\nadd.u32 y, y, w;\nadd.s64 t, t, 4;\nadd.u32 x, x, 1;\n\
               setp.lt.u32 q, x, 7;\n@q bra ADD;\nst.global.u32 [out], y;\nEND:"
            .into(),
    }
}

/// What block `k` / 32 of two in each cluster has from thread `k` % 32 of the other.
fn others(count: u32, of: impl Fn(u32) -> u32) -> Vec<u32> {
    (0..count).map(|k| of(k ^ 32)).collect()
}

fn distributed() -> Kernel {
    let body = format!(
        "mad.lo.u32 w, g, 7, 1;\nst.shared.u32 [sw], w;\n{CLUSTER_MEETS}{OTHER}\
         ld.shared::cluster.u32 w, [other];\nst.global.u32 [me], w;\n{CLUSTER_MEETS}"
    );
    let output = others(128, |g| 7 * g + 1);
    let name = "shared memory of the other block of a cluster";
    Kernel { name, shape: [4, 2, 32], sm: 90, input: Vec::new(), output, body }
}

/// `send` tells the other block's mbarrier of 4 bytes a thread, over words of 100; `w` is the thread's number among all, less 20.
fn sends(name: &'static str, send: &str, of: impl Fn(u32) -> u32) -> Kernel {
    let body = format!(
        "@p mbarrier.init.shared.b64 [m], 1;\n@p mbarrier.arrive.expect_tx.shared.b64 _, [m], 128;\n\
         st.shared.u32 [sw], 100;\nsub.u32 w, g, 20;\n{CLUSTER_MEETS}{OTHER}{send}\n{COMES}\
         ld.shared.u32 w, [sw];\nst.global.u32 [me], w;\n{CLUSTER_MEETS}"
    );
    let output = others(64, |g| of(g.wrapping_sub(20)));
    Kernel { name, shape: [2, 2, 32], sm: 90, input: Vec::new(), output, body }
}

fn sent() -> impl Iterator<Item = Kernel> {
    let store = "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [other], w, [bar];";
    type Form = (&'static str, fn(u32) -> u32);
    let forms: [Form; 9] = [
        ("red.async add.u32", |x| x.wrapping_add(100)),
        ("red.async min.s32", |x| (x as i32).min(100) as u32),
        ("red.async max.u32", |x| x.max(100)),
        ("red.async min.u32", |x| x.min(100)),
        ("red.async and.b32", |x| x & 100),
        ("red.async or.b32", |x| x | 100),
        ("red.async xor.b32", |x| x ^ 100),
        ("red.async inc.u32", |x| if 100 >= x { 0 } else { 101 }),
        ("red.async dec.u32", |x| if 100 > x { x } else { 99 }),
    ];
    let reduces = forms.into_iter().map(|(name, of)| {
        let form = name.split(' ').nth(1).expect("each names its form");
        let send = format!(
            "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.{form} [other], w, [bar];"
        );
        sends(name, &send, of)
    });
    std::iter::once(sends("st.async u32", store, |x| x)).chain(reduces)
}

/// Thread 0 makes the mbarrier ready for `bytes` and starts a copy to `s`, and all wait.
fn copied(bytes: u32, start: &str) -> String {
    format!(
        "@!p bra STARTED;\nmbarrier.init.shared.b64 [m], 1;\nfence.mbarrier_init.release.cluster;\n\
         mbarrier.arrive.expect_tx.shared.b64 _, [m], {bytes};\n{start}\nSTARTED:\nbar.sync 0;\n{COMES}"
    )
}

const LOAD: &str = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";

fn copies() -> Vec<Kernel> {
    let input: Vec<u32> = (0..128).map(|k| k * k + 3).collect();
    let through = copied(
        256,
        &format!("mul.wide.u32 t, b, 256;\nadd.s64 t, t, at;\n{LOAD} [s], [t], 256, [m];"),
    ) + "ld.shared.u32 w, [sw];\nst.global.u32 [me], w;";
    let stored = "mad.lo.u32 w, g, 5, 2;\nst.shared.u32 [sw], w;\nfence.proxy.async.shared::cta;\nbar.sync 0;\n\
        @!p bra END;\nmul.wide.u32 t, b, 256;\nadd.s64 t, t, out;\n\
        cp.async.bulk.global.shared::cta.bulk_group [t], [s], 256;\ncp.async.bulk.commit_group;\n\
        cp.async.bulk.wait_group 0;\nEND:";
    let reduced = "add.u32 w, g, 1;\nst.shared.u32 [sw], w;\nfence.proxy.async.shared::cta;\nbar.sync 0;\n\
        @!p bra END;\ncp.reduce.async.bulk.global.shared::cta.bulk_group.add.u32 [out], [s], 256;\n\
        cp.reduce.async.bulk.global.shared::cta.bulk_group.max.u32 [out+256], [s], 256;\n\
        cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:";
    let sums = (0..64).map(|i| (0..3).map(|b| 64 * b + i + 1).sum());
    let greatest = (0..64).map(|i| 128 + i + 1);
    let multicast = format!(
        "@p mbarrier.init.shared.b64 [m], 1;\nfence.mbarrier_init.release.cluster;\n\
         @p mbarrier.arrive.expect_tx.shared.b64 _, [m], 128;\n{CLUSTER_MEETS}\
         setp.eq.and.u32 q, r, 0, p;\n.reg .b16 both;\nmov.u16 both, 3;\n@q {LOAD}.multicast::cluster [s], [at], 128, [m], both;\n\
         {COMES}ld.shared.u32 w, [sw];\nadd.u32 w, w, r;\nst.global.u32 [me], w;\n{CLUSTER_MEETS}"
    );
    let across = format!(
        "@p mbarrier.init.shared.b64 [m], 1;\nfence.mbarrier_init.release.cluster;\n\
         @p mbarrier.arrive.expect_tx.shared.b64 _, [m], 128;\nmad.lo.u32 w, g, 3, 9;\nst.shared.u32 [sw+1024], w;\n\
         fence.proxy.async;\n{CLUSTER_MEETS}{OTHER}add.u32 y, s, 1024;\n\
         @p cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [other], [y], 128, [bar];\n\
         {COMES}ld.shared.u32 w, [sw];\nst.global.u32 [me], w;\n{CLUSTER_MEETS}"
    );
    let kernel = |name, shape, input: &[u32], output: Vec<u32>, body: String| Kernel {
        name,
        shape,
        sm: 90,
        input: input.to_vec(),
        output,
        body,
    };
    let twice = (0..64).map(|k| input[k % 32] + k as u32 / 32).collect();
    vec![
        kernel("cp.async.bulk to shared memory", [2, 1, 64], &input, input.clone(), through),
        kernel(
            "cp.async.bulk to global memory",
            [3, 1, 64],
            &[],
            (0..192).map(|g| 5 * g + 2).collect(),
            stored.into(),
        ),
        kernel(
            "cp.reduce.async.bulk of all blocks",
            [3, 1, 64],
            &[],
            sums.chain(greatest).collect(),
            reduced.into(),
        ),
        kernel("cp.async.bulk to both blocks of a cluster", [2, 2, 32], &input, twice, multicast),
        kernel(
            "cp.async.bulk to the other block of a cluster",
            [4, 2, 32],
            &[],
            others(128, |g| 3 * g + 9),
            across,
        ),
    ]
}

/// All of them.
pub(super) fn blocks() -> impl Iterator<Item = Block> {
    let plain = [numbers(), atomics(), last_block(), distributed()];
    plain.into_iter().chain(sent()).chain(copies()).map(Kernel::block)
}

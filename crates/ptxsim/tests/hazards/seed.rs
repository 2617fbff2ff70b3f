//! Seeded mistakes with the place at which they must be found.

use ptxsim::tensor::map::{ElementType, Tiled};
use ptxsim::tensor::swizzle::Swizzle;
use ptxsim::{Argument, Error, Finding, Kind, Launch, Memory, Module, Options, TensorMap, run};

/// A right kernel and how it is launched. `%x` points to 64 KiB of zeros named `x`, `%y` to as many named `y` that the launch
/// does not let be written, `%m` to a map of the first 64 words of `x` as one tile; `%r0` is the thread, `%r1` the address of
/// 4096 bytes `tile` of shared memory, `%r2` that of 64 bytes `bars`, `%r3` the rank in the cluster, `%r4` the address of the
/// thread's word of `tile`; `%p1` is set in thread 0. Threads begin with 64 registers.
#[derive(Clone, Copy)]
pub struct Seed<'a> {
    /// Blocks of the grid, of a cluster, and threads of a block.
    pub shape: [u32; 3],
    pub right: &'a str,
}

/// A product of a warpgroup of 128 threads, waited for. A and B have 64 and 8 rows of 32 bytes without a swizzle, one behind the
/// other; all of it zeros.
pub const PRODUCT: &str = "shl.b32 %r5, %r0, 5;
add.u32 %r5, %r5, %r1;
mov.u32 %r6, 0;
st.shared.v4.u32 [%r5], {%r6, %r6, %r6, %r6};
st.shared.v4.u32 [%r5+16], {%r6, %r6, %r6, %r6};
fence.proxy.async.shared::cta;
bar.sync 0;
shr.u32 %r7, %r1, 4;
cvt.u64.u32 %d1, %r7;
or.b64 %d1, %d1, 34363932672;
add.u64 %d2, %d1, 128;
wgmma.fence.sync.aligned;
wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, %d1, %d2, 0, 1, 1, 0, 0;
wgmma.commit_group.sync.aligned;
wgmma.wait_group.sync.aligned 0;";

/// Who is to blame: the line of the kernel's body that begins with `text` after its guard or label, block, warp, and the
/// lanes of which some are to be named.
#[derive(Debug, Clone, Copy)]
pub struct Blamed<'a> {
    pub text: &'a str,
    pub block: u32,
    pub warp: u32,
    pub lanes: u32,
}

pub const fn at(text: &str, block: u32, warp: u32, lanes: u32) -> Blamed<'_> {
    Blamed { text, block, warp, lanes }
}

/// The text, with a `.loc` before each line of `body` that gives its number there, from 1.
fn text(body: &str) -> String {
    let mut text = String::from(
        ".version 8.6\n.target sm_90a\n.address_size 64\n.file 1 \"seeded.cu\"\n\
         .const .align 4 .b32 fixed[2] = {1, 2};\n\
         .extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);\n\
         .global .align 1 .b8 words[3] = {104, 105, 0};\n\
         .func nothing() { ret; }\n\
         .visible .entry k(.param .u64 p, .param .u64 q, .param .align 64 .b8 map[128])\n\
         .maxnreg 64\n{\n\
         .reg .b32 %r<64>; .reg .b64 %x, %y, %m, %d<20>; .reg .pred %p<9>; .reg .f32 %f<9>;\n\
         .shared .align 1024 .b8 tile[4096];\n.shared .align 8 .b8 bars[64];\n.local .align 8 .b8 own[64];\n\
         ld.param.u64 %x, [p];\nld.param.u64 %y, [q];\nmov.b64 %m, map;\ncvta.param.u64 %m, %m;\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, tile;\nmov.u32 %r2, bars;\n\
         mov.u32 %r3, %cluster_ctarank;\nshl.b32 %r4, %r0, 2;\nadd.u32 %r4, %r4, %r1;\nsetp.eq.u32 %p1, %r0, 0;\n",
    );
    for (k, line) in body.lines().enumerate() {
        text += &format!(".loc 1 {} 1\n{line}\n", k + 1);
    }
    text + "ret;\n}\n"
}

impl Seed<'_> {
    /// All findings under one schedule.
    fn findings(&self, body: &str, (seed, late, give_up): Schedule) -> Vec<Finding> {
        let text = text(body);
        if let Ok(folder) = std::env::var("PTXSIM_SEEDS") {
            // For ptxas, which must take them all.
            let name = text.bytes().fold(0u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ b as u64);
            std::fs::write(format!("{folder}/{name:016x}.ptx"), &text).unwrap();
        }
        let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut memory = Memory::new();
        let [x, y] = ["x", "y"].map(|name| {
            let buffer = memory.allocate(name, 65536).unwrap();
            memory.write(buffer, &[0; 65536]).unwrap();
            buffer
        });
        let map = TensorMap::encode(&Tiled {
            element: ElementType::U32,
            address: x,
            dims: vec![64],
            strides: Vec::new(),
            tile: vec![64],
            element_strides: Vec::new(),
            swizzle: Swizzle::None,
            fill_nan: false,
        })
        .unwrap();
        let [grid, cluster, threads] = self.shape;
        let launch = Launch {
            entry: "k".into(),
            grid: [grid, 1, 1],
            block: [threads, 1, 1],
            cluster: Some([cluster, 1, 1]),
            arguments: vec![Argument::from(x), Argument::from(y), Argument::from(map)],
            may_write: Some(vec![x]),
            ..Launch::default()
        };
        let options = Options { seed, late, give_up, budget: 200_000, ..Options::default() };
        match run(&module, &launch, &mut memory, &options) {
            Ok(report) => report.findings,
            Err(Error::Finding(finding)) => vec![*finding],
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    /// The kernel gives no finding under any schedule.
    pub fn holds(&self) {
        for schedule in schedules() {
            let found = self.findings(self.right, schedule);
            assert_eq!(found, [], "{schedule:?}: {}", self.right);
        }
    }

    /// The finding of `kind`, of a kernel that is wrong, under the plainest schedule.
    pub fn finding(&self, kind: Kind) -> Finding {
        let findings = self.findings(self.right, (0, true, false));
        let found = findings.iter().find(|finding| finding.kind == kind);
        found.unwrap_or_else(|| panic!("no {kind:?} in {findings:#?}")).clone()
    }

    /// The kinds of all findings of a kernel that is wrong only where waits give up.
    pub fn kinds_in_a_hurry(&self) -> Vec<Kind> {
        let schedules = (0..8).map(|seed| (seed, true, true));
        schedules.flat_map(|s| self.findings(self.right, s)).map(|f| f.kind).collect()
    }

    /// The kinds of all findings under all schedules; each schedule gives some.
    pub fn kinds(&self) -> Vec<Kind> {
        let found = |schedule| {
            let found = self.findings(self.right, schedule);
            assert_ne!(found, [], "{schedule:?}: {}", self.right);
            found
        };
        schedules().flat_map(found).map(|finding| finding.kind).collect()
    }

    /// The kernel gives no finding; with `from` replaced by `to` there is a finding of `kind` at one of the places, under any
    /// schedule. Of two places the one is told with the line of the other.
    pub fn finds(&self, from: &str, to: &str, kind: Kind, places: &[Blamed]) {
        self.holds();
        let wrong = self.right.replacen(from, to, 1);
        assert_ne!(wrong, self.right, "`{from}` is part of it");
        let first = text("").lines().count() as u32 - 1;
        for schedule in schedules() {
            let findings = self.findings(&wrong, schedule);
            let told = |blamed: &Blamed| {
                // Each line of the body is two of the text.
                let (line, ptx) = (line(&wrong, blamed), |line: u32| first - 1 + 2 * line);
                let mut others = places.iter().map(|other| self::line(&wrong, other));
                // What ends the execution tells what was found before.
                let before = format!(
                    "before that: {kind:?} in k, PTX line {}, seeded.cu:{line}, block ({}, 0, 0) warp {} lanes",
                    ptx(line),
                    blamed.block,
                    blamed.warp
                );
                findings.iter().any(|f| f.kind != kind && f.message.contains(&before))
                    || findings.iter().any(|f| {
                        (f.kind, f.line, f.source_line) == (kind, ptx(line), line)
                            && (&*f.kernel, &*f.file) == ("k", "seeded.cu")
                            && (f.block, f.warp) == ([blamed.block, 0, 0], blamed.warp)
                            && (f.lanes != 0 && f.lanes & !blamed.lanes == 0 || blamed.lanes == 0)
                            && (kind != Kind::Race && kind != Kind::MissingInitFence
                                || places.len() == 1
                                || others.any(|other| {
                                    f.message.contains(&format!("PTX line {}", ptx(other)))
                                }))
                    })
            };
            assert!(
                places.iter().any(told),
                "{schedule:?}: no {kind:?} at {places:?} in {findings:#?}\n{wrong}"
            );
        }
    }
}

/// The number of the line that is to blame, in the body.
fn line(body: &str, blamed: &Blamed) -> u32 {
    let found = body.lines().position(|line| {
        let bare = if line.starts_with('@') { line.split_once(' ').unwrap().1 } else { line };
        bare.starts_with(blamed.text)
    });
    found.unwrap_or_else(|| panic!("no line begins with `{}`: {body}", blamed.text)) as u32 + 1
}

/// Seed, whether asynchronous work is late, and whether waits give up.
type Schedule = (u64, bool, bool);

fn schedules() -> impl Iterator<Item = Schedule> {
    let patient = [(0, true), (1, true), (2, true), (3, false), (4, false), (5, false)];
    let patient = patient.into_iter().map(|(seed, late)| (seed, late, false));
    patient.chain([(6, true, true), (7, false, true)])
}

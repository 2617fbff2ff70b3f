//! The kernel that copies images of shared memory for `wgmma` there.

pub use ptxsim::conformance::Image;
use ptxsim::{Argument, Error, Launch, Memory, Module, Options, Report, run};

pub fn list(first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|i| format!("%r{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

/// Registers of D, of A, and of other things.
pub const D: usize = 100;
pub const A: usize = 80;

/// Copies `bytes` bytes from `%rd0` to shared memory, loads D from `%rd1` and A from `%rd2`, makes descriptors `%rd10` of A and
/// `%rd11` of B, runs `body`, stores D to `%rd3`.
pub fn kernel(image: u32, d: usize, a: u64, b: u64, b_at: u32, body: &str) -> String {
    let mut text = String::from(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.extern .shared .align 1024 .b8 tile[];\n\
         .visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2, .param .u64 p3)\n{\n\
         .reg .b32 %r<300>;\n.reg .b64 %rd<40>;\n.reg .pred %p<4>;\nmov.u32 %r0, %tid.x;\n\
         mul.wide.u32 %rd9, %r0, 16;\nmov.u32 %r1, tile;\nshl.b32 %r2, %r0, 4;\nadd.u32 %r2, %r1, %r2;\n\
         ld.param.u64 %rd0, [p0];\nadd.s64 %rd0, %rd0, %rd9;\nmul.wide.u32 %rd9, %r0, 4;\n",
    );
    for i in 1..4 {
        text += &format!("ld.param.u64 %rd{i}, [p{i}];\nadd.s64 %rd{i}, %rd{i}, %rd9;\n");
    }
    for at in (0..image).step_by(2048) {
        text += &format!(
            "ld.global.v4.b32 {{%r3, %r4, %r5, %r6}}, [%rd0+{at}];\nst.shared.v4.b32 [%r2+{at}], {{%r3, %r4, %r5, %r6}};\n"
        );
    }
    for i in 0..d {
        text += &format!("ld.global.b32 %r{}, [%rd1+{}];\n", D + i, 512 * i);
    }
    for i in 0..4 {
        text += &format!("ld.global.b32 %r{}, [%rd2+{}];\n", A + i, 512 * i);
    }
    text += &format!(
        "fence.proxy.async;\nbar.sync 0;\nshr.u32 %r7, %r1, 4;\ncvt.u64.u32 %rd4, %r7;\n\
         add.s64 %rd10, %rd4, {};\nadd.s64 %rd11, %rd4, {};\n",
        a as i64,
        (b + (b_at as u64 >> 4)) as i64
    );
    text += body;
    for i in 0..d {
        text += &format!("st.global.b32 [%rd3+{}], %r{};\n", 512 * i, D + i);
    }
    text + "ret;\n}\n"
}

pub struct Inputs {
    pub image: Vec<u8>,
    pub d: Vec<u32>,
    pub a: Vec<u32>,
}

pub fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

pub fn launch(text: &str, inputs: &Inputs, options: &Options) -> Result<(Report, Vec<u32>), Error> {
    let module = Module::parse(text)?;
    let mut memory = Memory::new();
    let mut arguments = Vec::new();
    for (name, content) in
        [("image", &inputs.image), ("d", &bytes(&inputs.d)), ("a", &bytes(&inputs.a))]
    {
        let pointer = memory.allocate(name, content.len() as u64)?;
        memory.write(pointer, content)?;
        arguments.push(Argument::from(pointer));
    }
    let out = memory.allocate("out", 4 * inputs.d.len() as u64)?;
    arguments.push(Argument::from(out));
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [128, 1, 1],
        shared: inputs.image.len() as u32,
        arguments,
        ..Launch::default()
    };
    let report = run(&module, &launch, &mut memory, options)?;
    let read = memory.read(out, 4 * inputs.d.len())?;
    let words = read.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    Ok((report, words))
}

//! One warp that runs a text: registers from and to global memory.

use ptxsim::{Argument, Error, Launch, Memory, Module, Options, run};

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as u32
    }
}

/// An entry `k` whose parameters `p0…` are pointers in `%rd0…`, moved on by 4 bytes a lane; `%r0` is the lane.
pub fn entry(pointers: usize, target: &str, body: &str) -> String {
    let params: Vec<String> = (0..pointers).map(|i| format!(".param .u64 p{i}")).collect();
    let mut text = format!(
        ".version 8.7\n.target {target}\n.address_size 64\n.visible .entry k({})\n{{\n\
         .reg .b32 %r<200>;\n.reg .b64 %rd<40>;\n.reg .f64 %fd<40>;\n.reg .pred %p<4>;\n\
         .shared .align 128 .b8 tile[4096];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 %rd39, %r0, 4;\n",
        params.join(", ")
    );
    for i in 0..pointers {
        text += &format!("ld.param.u64 %rd{i}, [p{i}];\nadd.s64 %rd{i}, %rd{i}, %rd39;\n");
    }
    text + body + "ret;\n}\n"
}

/// Loads registers `%r{first}…` from pointer `p`, register after register.
pub fn load(p: usize, first: usize, count: usize) -> String {
    (0..count).map(|i| format!("ld.global.b32 %r{}, [%rd{p}+{}];\n", first + i, 128 * i)).collect()
}

pub fn store(p: usize, first: usize, count: usize) -> String {
    (0..count).map(|i| format!("st.global.b32 [%rd{p}+{}], %r{};\n", 128 * i, first + i)).collect()
}

pub fn list(prefix: &str, first: usize, count: usize) -> String {
    let names: Vec<String> = (first..first + count).map(|i| format!("%{prefix}{i}")).collect();
    format!("{{{}}}", names.join(", "))
}

/// Runs a text for one warp with inputs of 32-bit words, and reads `out` words of the last parameter.
pub fn execute(text: &str, inputs: &[Vec<u32>], out: usize) -> Result<Vec<u32>, Error> {
    let module = Module::parse(text)?;
    let mut memory = Memory::new();
    let mut arguments = Vec::new();
    for input in inputs {
        let pointer = memory.allocate("input", 4 * input.len().max(1) as u64)?;
        memory.write(pointer, &input.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>())?;
        arguments.push(Argument::from(pointer));
    }
    let result = memory.allocate("out", 4 * out as u64)?;
    arguments.push(Argument::from(result));
    let launch = Launch {
        entry: "k".into(),
        grid: [1; 3],
        block: [32, 1, 1],
        arguments,
        ..Launch::default()
    };
    let report = run(&module, &launch, &mut memory, &Options::default())?;
    assert_eq!(report.findings, []);
    let bytes = memory.read(result, 4 * out)?;
    Ok(bytes.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect())
}

pub fn words(random: &mut Random, count: usize) -> Vec<u32> {
    (0..32 * count).map(|_| random.next()).collect()
}

pub fn registers(words: &[u32]) -> Vec<[u32; 32]> {
    words.chunks_exact(32).map(|w| w.try_into().unwrap()).collect()
}

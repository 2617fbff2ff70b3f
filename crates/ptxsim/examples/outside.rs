//! Runs kernels of other projects, as `outside/run.py` asks for them: one launch a line on standard input, one verdict a line
//! on standard output.
//!
//! A line has, between tabs: the PTX file; the entry; grid and block (`x,y,z`); bytes of dynamic shared memory; the number of
//! schedules; a folder for outputs; then each argument: `hex:…` (bytes as they are), `in:FILE`, `inout:FILE`,
//! `out:BYTES` (memory that nobody has written). Every schedule runs with all checks on from the same inputs; those after the first
//! have other seeds, and work that ends at random times every third. Outputs go to `FOLDER/SCHEDULE.ARGUMENT`. A verdict is
//! `ok INSTRUCTIONS`, `finding TEXT` or `refused TEXT`.

use std::collections::HashMap;
use std::error::Error;
use std::io::BufRead;

use ptxsim::{Argument, Launch, Memory, Module, Options, Pointer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn sizes(text: &str) -> Result<[u32; 3]> {
    let sizes: Vec<u32> = text.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
    sizes.try_into().map_err(|_| format!("`{text}` has not three sizes").into())
}

/// One line: what is printed for it.
fn launch(line: &str, modules: &mut HashMap<String, Module>) -> Result<String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [file, entry, grid, block, shared, schedules, folder, arguments @ ..] = &fields[..] else {
        return Err("too few fields".into());
    };
    if !modules.contains_key(*file) {
        modules.insert(file.to_string(), Module::parse(&std::fs::read_to_string(file)?)?);
    }
    let mut instructions = 0;
    for seed in 0..schedules.parse()? {
        let mut memory = Memory::new();
        let mut outputs = Vec::<(usize, Pointer, usize)>::new();
        let mut passed = Vec::new();
        for (number, argument) in arguments.iter().enumerate() {
            let (way, what) = argument.split_once(':').ok_or("an argument has no colon")?;
            let name = format!("argument {number}");
            if way == "hex" {
                let byte = |k: usize| u8::from_str_radix(&what[k..k + 2], 16);
                let bytes: std::result::Result<Vec<u8>, _> =
                    (0..what.len()).step_by(2).map(byte).collect();
                passed.push(Argument(bytes?));
                continue;
            }
            let bytes = if way == "out" { Vec::new() } else { std::fs::read(what)? };
            let len = if way == "out" { what.parse()? } else { bytes.len() };
            let pointer = memory.allocate(&name, len as u64)?;
            memory.write(pointer, &bytes)?;
            if way != "in" {
                outputs.push((number, pointer, len));
            }
            passed.push(pointer.into());
        }
        let launch = Launch {
            entry: entry.to_string(),
            grid: sizes(grid)?,
            block: sizes(block)?,
            shared: shared.parse()?,
            arguments: passed,
            may_write: Some(outputs.iter().map(|output| output.1).collect()),
            ..Launch::default()
        };
        let options = Options { seed, late: seed % 3 != 2, threads: 1, ..Options::default() };
        let report = ptxsim::run(&modules[*file], &launch, &mut memory, &options)?;
        if let Some(finding) = report.findings.first() {
            return Ok(format!("finding {finding}"));
        }
        instructions = report.counters.warp_instructions;
        for (number, pointer, len) in outputs {
            std::fs::write(format!("{folder}/{seed}.{number}"), memory.read(pointer, len)?)?;
        }
    }
    Ok(format!("ok {instructions}"))
}

fn main() -> Result<()> {
    let mut modules = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let verdict = match launch(&line?, &mut modules) {
            Ok(verdict) => verdict,
            Err(error) => match error.downcast::<ptxsim::Error>() {
                Ok(error) => match *error {
                    ptxsim::Error::Finding(finding) => format!("finding {finding}"),
                    other => format!("refused {other}"),
                },
                Err(other) => format!("failed {other}"),
            },
        };
        println!("{}", verdict.replace('\n', " "));
    }
    Ok(())
}

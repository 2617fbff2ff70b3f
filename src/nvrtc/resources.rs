//! What a kernel takes of a multiprocessor, from ptxas's report.

use serde::{Deserialize, Serialize};

/// The resources of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// The entry.
    pub entry: String,
    /// Registers a thread.
    pub registers: u32,
    /// Bytes of static shared memory a block.
    pub shared: u32,
    /// Barriers a block.
    pub barriers: u32,
    /// Bytes of stack a thread.
    pub stack: u32,
    /// Bytes of registers stored to local memory.
    pub spill_stores: u32,
    /// Bytes of registers loaded from local memory.
    pub spill_loads: u32,
}

/// The entries that `--ptxas-options=-v` tells of.
pub fn read(log: &str) -> Vec<Resources> {
    let mut all: Vec<Resources> = Vec::new();
    let mut properties_of = String::new();
    for line in log.lines() {
        let quoted = || line.split('\'').nth(1).map(str::to_owned);
        if line.contains("Compiling entry function") {
            all.extend(quoted().map(|entry| Resources { entry, ..Resources::default() }));
        } else if let Some((_, function)) = line.split_once("Function properties for ") {
            properties_of = function.trim().to_owned();
        } else if let Some(last) = all.last_mut() {
            // Functions that were not inlined have properties of their own.
            if line.contains("bytes stack frame") && properties_of == last.entry {
                last.stack = before(line, " bytes stack frame");
                last.spill_stores = before(line, " bytes spill stores");
                last.spill_loads = before(line, " bytes spill loads");
            } else if line.contains("Used ") && line.contains(" registers") {
                last.registers = before(line, " registers");
                last.barriers = before(line, " barriers");
                last.shared = before(line, " bytes smem");
            }
        }
    }
    all
}

/// The number right before `unit`; 0 where there is none.
fn before(line: &str, unit: &str) -> u32 {
    let number = line.split(unit).next().filter(|head| head.len() < line.len());
    let digits = number.and_then(|head| head.rsplit(|c: char| !c.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_two_entries_is_read() {
        let log = "ptxas info    : 8 bytes gmem\n\
            ptxas info    : Compiling entry function 'one' for 'sm_90a'\n\
            ptxas info    : Function properties for one\n\
            \x20   16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
            ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 380 bytes cmem[0]\n\
            ptxas info    : Compiling entry function 'two' for 'sm_90a'\n\
            ptxas info    : Function properties for two\n\
            \x20   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
            ptxas info    : Used 8 registers, 360 bytes cmem[0]\n";
        let one = Resources {
            entry: "one".into(),
            registers: 40,
            shared: 1024,
            barriers: 1,
            stack: 16,
            spill_stores: 8,
            spill_loads: 12,
        };
        let two = Resources { entry: "two".into(), registers: 8, ..Resources::default() };
        assert_eq!(read(log), [one, two]);
        assert!(read("").is_empty());
    }
}

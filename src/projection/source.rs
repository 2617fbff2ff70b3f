//! What a plan reads of a run.

use serde_json::Value;

use crate::record::{Counter, Record};
use crate::store::Run;
use crate::units::Bytes;

/// What a plan reads of a run.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What the run is called: the name of its folder.
    pub name: &'a str,
    /// Its fingerprint.
    pub machine: &'a Value,
    /// Its records.
    pub records: &'a [Record],
    /// Their counters.
    pub counters: &'a [Counter],
}

impl<'a> From<&'a Run> for Source<'a> {
    fn from(run: &'a Run) -> Self {
        let name = run.folder.file_name().and_then(|name| name.to_str()).unwrap_or("the run");
        Source { name, machine: &run.machine, records: &run.records, counters: &run.counters }
    }
}

impl Source<'_> {
    /// The memory of a device, from the fingerprint.
    pub fn memory(&self, device: &str) -> Option<Bytes> {
        let memory = if device == "cpu" {
            self.machine["hardware"]["memory"].as_u64()
        } else {
            let gpus = self.machine["gpus"].as_array()?;
            let gpu = gpus.iter().find(|gpu| gpu["device"].as_str() == Some(device))?;
            gpu["attributes"]["memory"].as_u64()
        };
        memory.filter(|&bytes| bytes > 0).map(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn a_device_has_the_memory_that_the_fingerprint_tells_and_no_other() {
        assert_eq!(testing::source().memory("cpu"), Some(Bytes(16 << 30)));
        assert_eq!(testing::source().memory("cuda:0"), None);
        let machine = serde_json::json!({
            "hardware": { "memory": 0 },
            "gpus": [{ "device": "cuda:1", "attributes": { "memory": 85_899_345_920u64 } }],
        });
        let source = Source { machine: &machine, ..testing::source() };
        assert_eq!(source.memory("cuda:1"), Some(Bytes(80 << 30)));
        assert_eq!(source.memory("cpu"), None, "none is not a capacity of nothing");
    }
}

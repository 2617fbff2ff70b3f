//! How many blocks and warps fit on a multiprocessor: the arithmetic of NVIDIA's occupancy calculator.

/// What a multiprocessor has, by compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Warps that can be resident.
    pub warps: u32,
    /// Blocks that can be resident.
    pub blocks: u32,
    /// Registers of 32 bits.
    pub registers: u32,
    /// Bytes of shared memory, those that the system keeps for each block included.
    pub shared: u32,
    /// Bytes of shared memory that the system keeps for each block.
    pub reserved: u32,
}

impl Limits {
    /// Those of `sm_<number>`, from the CUDA programming guide's table of technical specifications; `None` for numbers that
    /// are not in the table.
    pub fn of(sm: u32) -> Option<Limits> {
        let (warps, blocks, kib) = match sm {
            75 => (32, 16, 64),
            80 => (64, 32, 164),
            86 => (48, 16, 100),
            87 => (48, 16, 164),
            89 => (48, 24, 100),
            90 | 100 | 103 => (64, 32, 228),
            120 | 121 => (48, 24, 100),
            _ => return None,
        };
        let reserved = if sm >= 80 { 1024 } else { 0 };
        Some(Limits { warps, blocks, registers: 65_536, shared: kib * 1024, reserved })
    }
}

/// What one block of a kernel takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Threads of a block.
    pub threads: u32,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of shared memory of a block, static and dynamic.
    pub shared: u32,
}

/// How a kernel fills a multiprocessor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupancy {
    /// Resident blocks; 0 where not even one fits.
    pub blocks: u32,
    /// Resident warps.
    pub warps: u32,
    /// Resident warps over those that could be, from 0 to 1.
    pub share: f64,
    /// What a further block lacks: `warps`, `blocks`, `registers` or `shared memory`.
    pub limited_by: &'static str,
}

/// Theoretical occupancy. Registers are given to warps 256 at a time, shared memory to blocks 128 bytes at a time (256 on
/// compute capability 7.5), warps four at a time.
pub fn occupancy(sm: u32, block: Footprint) -> Option<Occupancy> {
    let limits = Limits::of(sm)?;
    let warps = block.threads.div_ceil(32).max(1);
    let by_registers = match (block.registers * 32).next_multiple_of(256) {
        0 => u32::MAX,
        a_warp => limits.registers / a_warp / 4 * 4 / warps,
    };
    let unit = if sm < 80 { 256 } else { 128 };
    let by_shared = match (block.shared + limits.reserved).next_multiple_of(unit) {
        0 => u32::MAX,
        a_block => limits.shared / a_block,
    };
    let (blocks, limited_by) = [
        (limits.warps / warps, "warps"),
        (limits.blocks, "blocks"),
        (by_registers, "registers"),
        (by_shared, "shared memory"),
    ]
    .into_iter()
    .min_by_key(|(blocks, _)| *blocks)?;
    let resident = blocks * warps;
    let share = f64::from(resident) / f64::from(limits.warps);
    Some(Occupancy { blocks, warps: resident, share, limited_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sm: u32, threads: u32, registers: u32, shared: u32) -> (u32, &'static str) {
        let found = occupancy(sm, Footprint { threads, registers, shared }).unwrap();
        (found.blocks, found.limited_by)
    }

    #[test]
    fn each_limit_binds_where_the_calculator_says() {
        assert_eq!(of(80, 256, 32, 0), (8, "warps"));
        assert_eq!(of(80, 32, 16, 0), (32, "blocks"));
        assert_eq!(of(80, 256, 128, 0), (2, "registers"));
        assert_eq!(of(80, 128, 32, 48 * 1024), (3, "shared memory"));
        assert_eq!(of(75, 256, 32, 0), (4, "warps"));
        assert_eq!(of(90, 384, 168, 200 * 1024), (1, "registers"));
        assert_eq!(of(86, 1024, 64, 0), (1, "warps"));
    }

    #[test]
    fn a_block_that_does_not_fit_has_no_occupancy() {
        let found = occupancy(80, Footprint { threads: 1024, registers: 128, shared: 0 }).unwrap();
        assert_eq!((found.blocks, found.share), (0, 0.0));
        assert_eq!(occupancy(12, Footprint { threads: 32, registers: 8, shared: 0 }), None);
    }
}
